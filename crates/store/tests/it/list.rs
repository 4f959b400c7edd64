//! Tests of the list: order, pages, filters, and the summaries of traces.

use std::sync::Arc;

use crate::support::{child, failed, root, service, span_id, store, trace_id};
use throughline_context::{TraceId, keys};
use throughline_otlp::{KeyValue, Span};
use throughline_store::{Before, ListFilter, SpanStore, Store};

async fn ids(store: &Store, filter: ListFilter) -> Vec<TraceId> {
    let list = store.list(filter).await.unwrap();
    list.into_iter().map(|summary| summary.trace_id).collect()
}

async fn with_text(store: &Store, text: &str) -> Vec<TraceId> {
    ids(store, ListFilter::default().with_text(text.to_owned())).await
}

fn named(mut span: Span, name: &str) -> Span {
    name.clone_into(&mut span.name);
    span
}

#[tokio::test]
async fn a_late_root_updates_the_summary() {
    let (_dir, store) = store();
    store.append(vec![failed(child(1, 2, 11, 1)), child(1, 3, 12, 2)]).await.unwrap();
    let early = store.summary(trace_id(1)).await.unwrap().unwrap();
    assert_eq!(early.trace_id, trace_id(1));
    assert_eq!((&*early.root_name, &*early.root_service, early.has_root), ("child 2", "api", false));
    assert_eq!((early.start_ns, early.duration_ns), (11_000_000_000, 2_000_000_000));
    assert_eq!((early.span_count, early.error_count), (2, 1));
    assert_eq!((early.services.clone(), early.user.clone(), early.bands), (vec!["api".to_owned()], None, None));

    let mut late = root(1, 1, 10);
    late.end_ns = late.start_ns + 5_000_000_000;
    late.attributes = vec![KeyValue::new(keys::APP_USER_ID, "andrew")];
    store.append(vec![late]).await.unwrap();
    let mut expected = early;
    expected.root_name = "root 1".to_owned();
    expected.root_service = "web".to_owned();
    expected.has_root = true;
    expected.start_ns = 10_000_000_000;
    expected.duration_ns = 5_000_000_000;
    expected.span_count = 3;
    expected.services = vec!["web".to_owned(), "api".to_owned()];
    expected.user = Some("andrew".to_owned());
    assert_eq!(store.list(ListFilter::default()).await.unwrap(), [expected]);
    assert_eq!(store.summary(trace_id(2)).await.unwrap(), None);
}

#[tokio::test]
async fn bands_are_sums_over_measured_requests() {
    let (_dir, store) = store();
    let measured = |number, total: f64| {
        let mut span = child(1, number, 1, 1);
        span.attributes = vec![
            KeyValue::new(keys::NETWORK_TOTAL_MS, total),
            KeyValue::new(keys::NETWORK_UPLINK_MS, 1.5),
            KeyValue::new(keys::NETWORK_DOWNLINK_MS, 2.0),
            KeyValue::new(keys::NETWORK_ERROR_MS, 0.25),
            KeyValue::new(keys::SERVER_DURATION_MS, 4_i64),
        ];
        span
    };
    store.append(vec![root(1, 1, 1), measured(2, 3.5)]).await.unwrap();
    store.append(vec![measured(3, 4.0), measured(4, f64::NAN)]).await.unwrap();
    let summary = store.summary(trace_id(1)).await.unwrap().unwrap();
    let bands = summary.bands.unwrap();
    assert_eq!((bands.network_ms, bands.uplink_ms, bands.downlink_ms), (7.5, 3.0, 4.0));
    assert_eq!((bands.error_ms, bands.server_ms), (0.5, 8.0));
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_traces_with_equal_start() {
    let (_dir, store) = store();
    // There are three traces per second, in no particular order of arrival.
    let spans: Vec<Span> = (0..30_u8).map(|n| (n * 7) % 30).map(|n| root(n + 1, 1, u64::from(n / 3))).collect();
    store.append(spans).await.unwrap();
    for limit in [1, 2, 7, 30, 500] {
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let filter = ListFilter::default().with_limit(limit).with_before(before);
            let page = store.list(filter).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            before = Some(Before { start_ns: last.start_ns, trace_id: last.trace_id });
            seen.extend(page.iter().map(|summary| summary.trace_id));
        }
        let expected: Vec<TraceId> = (1..=30).rev().map(trace_id).collect();
        assert_eq!(seen, expected, "limit {limit}");
    }
    for (limit, length) in [(0, 1), (10_000, 30)] {
        let filter = ListFilter::default().with_limit(limit);
        assert_eq!(ids(&store, filter).await.len(), length);
    }
}

#[tokio::test]
async fn filters_by_error_and_duration_select_traces() {
    let (_dir, store) = store();
    let mut slow = failed(root(2, 1, 1));
    slow.end_ns = slow.start_ns + 3_000_000_001;
    store.append(vec![root(1, 1, 1), slow, failed(child(3, 2, 1, 1)), root(3, 1, 1)]).await.unwrap();
    let filter = |error: Option<bool>, min_ms: Option<f64>| ListFilter::default().with_error(error).with_min_ms(min_ms);
    let of = |numbers: &[u8]| -> Vec<TraceId> { numbers.iter().copied().map(trace_id).collect() };
    for (error, min_ms, expected) in [
        (Some(true), None, &[3, 2][..]),
        (Some(false), None, &[1]),
        (None, Some(1000.0), &[3, 2, 1]),
        (None, Some(1_000.000_001), &[2]),
        (None, Some(3_000.000_001), &[2]),
        (None, Some(3_000.000_002), &[]),
        (None, Some(f64::INFINITY), &[]),
        (None, Some(f64::NAN), &[3, 2, 1]),
        (None, Some(-1.0), &[3, 2, 1]),
        (Some(false), Some(2000.0), &[]),
    ] {
        let found = ids(&store, filter(error, min_ms)).await;
        assert_eq!(found, of(expected), "{error:?} {min_ms:?}");
    }
}

#[tokio::test]
async fn text_matches_names_services_users_and_ids() {
    let (_dir, store) = store();
    let mut with_user = root(0xab, 1, 3);
    with_user.attributes = vec![KeyValue::new(keys::APP_USER_ID, "Bayko")];
    let mut other_service = child(0x22, 2, 2, 1);
    other_service.resource = service("Ledger-ÄÖ");
    store
        .append(vec![with_user, root(0x22, 1, 2), other_service, named(root(0x33, 1, 1), "GET /api/Über/{handle}")])
        .await
        .unwrap();
    let (a, b, c) = (trace_id(0xab), trace_id(0x22), trace_id(0x33));
    for (text, expected) in [
        ("bayko", vec![a]),
        ("LEDGER-äö", vec![b]),
        ("über", vec![c]),
        ("WEB", vec![a, b, c]),
        ("root 1", vec![a, b]),
        ("  child 2 ", vec![b]),
        ("", vec![a, b, c]),
        ("aBa", vec![a]),
        ("bab", vec![]),
        ("22222222222222222222222222222222", vec![b]),
        ("222222222222222222222222222222222", vec![]),
        ("nothing like it", vec![]),
    ] {
        assert_eq!(with_text(&store, text).await, expected, "{text:?}");
    }
}

#[tokio::test]
async fn text_has_no_wildcards() {
    let (_dir, store) = store();
    store
        .append(vec![
            named(root(1, 1, 1), "100% a_b"),
            named(root(2, 1, 2), "100 axb"),
            named(root(3, 1, 3), r"back\slash 'quoted'"),
        ])
        .await
        .unwrap();
    for (text, expected) in [
        ("%", vec![trace_id(1)]),
        ("_", vec![trace_id(1)]),
        ("a_b", vec![trace_id(1)]),
        ("1%b", vec![]),
        ("*", vec![]),
        (r"\", vec![trace_id(3)]),
        ("'", vec![trace_id(3)]),
    ] {
        assert_eq!(with_text(&store, text).await, expected, "{text:?}");
    }
}

#[tokio::test]
async fn filters_and_pages_can_be_combined() {
    let (_dir, store) = store();
    let spans = (1..=20).map(|n| {
        let span = named(root(n, 1, 1), if n % 2 == 0 { "even" } else { "odd" });
        if n % 4 == 0 { failed(span) } else { span }
    });
    store.append(spans.collect()).await.unwrap();
    let filter = ListFilter::default()
        .with_limit(2)
        .with_text("EVEN".to_owned())
        .with_error(true)
        .with_min_ms(1.0)
        .with_before(Before { start_ns: 1_000_000_000, trace_id: trace_id(16) });
    assert_eq!(ids(&store, filter).await, [trace_id(12), trace_id(8)]);
}

#[tokio::test]
async fn services_are_ordered_by_their_first_spans() {
    let (_dir, store) = store();
    let of = |number, start_s, name: &str| {
        let mut span = child(1, number, start_s, 1);
        span.resource = service(name);
        span
    };
    store.append(vec![of(2, 5, "late"), of(3, 3, "middle")]).await.unwrap();
    store.append(vec![of(4, 1, "late"), of(5, 2, "early")]).await.unwrap();
    let summary = store.summary(trace_id(1)).await.unwrap().unwrap();
    assert_eq!(summary.services, ["late", "early", "middle"]);
}

#[tokio::test]
async fn very_long_names_are_stored_but_cut_in_lists() {
    let (_dir, store) = store();
    let name = "é".repeat(100_000);
    let mut span = named(root(1, 1, 1), &name);
    span.span_id = span_id(7);
    span.resource = Arc::clone(&service(&name));
    store.append(vec![span]).await.unwrap();
    assert_eq!(store.trace(trace_id(1)).await.unwrap()[0].name, name);
    let summary = store.summary(trace_id(1)).await.unwrap().unwrap();
    assert_eq!(summary.root_name.chars().count(), 512);
    assert_eq!(summary.services[0].chars().count(), 512);
}
