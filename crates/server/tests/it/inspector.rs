//! The inspector's API: lists, traces, downloads and the live stream.

use std::{collections::HashSet, sync::Arc};

use reqwest::header;
use throughline_context::{SpanId, TraceId};
use throughline_inspector_api::{self as inspector, AttributeValue, SpanKind, TraceSummary};
use throughline_otlp::{Encoding, Event, KeyValue, Link, Span, Status, StatusCode, Value, decode_traces};

use crate::support::{
    Bench, DEADLINE, Start as _, as_json, eventually, new_span_id, new_trace_id, now_ns, refused, set, span,
};

const MS: u64 = 1_000_000;

/// Returns the ids of the traces that a query finds, in order.
async fn found(bench: &Bench, query: &[(&str, &str)]) -> Vec<String> {
    bench.list(query).await.traces.into_iter().map(|summary| summary.trace_id).collect()
}

#[tokio::test]
async fn the_list_is_empty_at_first() {
    let bench = Bench::start();
    let list = bench.list(&[]).await;
    assert!(list.traces.is_empty() && list.next_before.is_none(), "{list:?}");
}

#[tokio::test]
async fn a_summary_describes_the_trace() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let mut root = span(&trace_id, "click Save");
    root.end_ns = root.start_ns + 50 * MS;
    let mut child = span(&trace_id, "save");
    child.parent_span_id = Some(root.span_id);
    child.start_ns = root.start_ns + MS;
    child.resource = Arc::new(throughline_otlp::Resource {
        attributes: vec![KeyValue::new("service.name", "safe")],
        ..Default::default()
    });
    child.status = Status { code: StatusCode::Error, message: "the lid is stuck".to_owned() };
    set(&mut child, "app.user_id", "mirela");
    bench.store(&[child, root.clone()]).await;
    let expected = TraceSummary {
        trace_id,
        root_name: "click Save".to_owned(),
        root_service: "bank".to_owned(),
        has_root: true,
        start_ns: root.start_ns,
        duration_ns: 50 * MS,
        span_count: 2,
        error_count: 1,
        services: vec!["bank".to_owned(), "safe".to_owned()],
        user: Some("mirela".to_owned()),
        bands: None,
    };
    let mut listed = bench.list(&[]).await.traces;
    assert_eq!(listed.len(), 1);
    listed[0].services.sort();
    assert_eq!(listed[0], expected);
}

#[tokio::test]
async fn a_list_can_be_filtered_by_text() {
    let bench = Bench::start();
    let (one, other) = (new_trace_id(), new_trace_id());
    let root = span(&one, "open the Vault");
    let mut inner = span(&one, "count 100% of_it");
    inner.parent_span_id = Some(root.span_id);
    set(&mut inner, "user.id", "gringotts");
    let mut far = span(&other, "walk the dog");
    far.resource = Arc::new(throughline_otlp::Resource {
        attributes: vec![KeyValue::new("service.name", "park")],
        ..Default::default()
    });
    bench.store(&[root, inner, far]).await;
    for text in ["vault", "OPEN THE", "COUNT", "100%", "of_it", "bank", "gringotts", &one, &one[..8]] {
        assert_eq!(found(&bench, &[("text", text)]).await, [one.as_str()], "{text}");
    }
    assert_eq!(found(&bench, &[("text", "park")]).await, [other]);
    for text in ["no such thing", "vault%", "v_ult", "'; DROP TABLE traces; --"] {
        assert!(found(&bench, &[("text", text)]).await.is_empty(), "{text}");
    }
    assert_eq!(found(&bench, &[("text", "")]).await.len(), 2, "no text is no filter");
}

#[tokio::test]
async fn a_list_can_be_filtered_by_error() {
    let bench = Bench::start();
    let (good, bad) = (new_trace_id(), new_trace_id());
    let mut broken = span(&bad, "break");
    broken.status.code = StatusCode::Error;
    bench.store(&[span(&good, "mend"), broken]).await;
    assert_eq!(found(&bench, &[("error", "true")]).await, [bad.as_str()]);
    assert_eq!(found(&bench, &[("error", "false")]).await, [good.as_str()]);
    assert_eq!(found(&bench, &[]).await.len(), 2);
    assert!(found(&bench, &[("error", "true"), ("text", "mend")]).await.is_empty(), "filters add up");
}

#[tokio::test]
async fn a_list_can_be_filtered_by_duration() {
    let bench = Bench::start();
    let ids: Vec<String> = (0..3).map(|_| new_trace_id()).collect();
    let start_ns = now_ns();
    let spans: Vec<Span> = [(0, 5 * MS), (1, 10 * MS), (2, 2_500 * MS)]
        .map(|(index, duration_ns)| {
            let mut span = span(&ids[index], "wait");
            span.start_ns = start_ns + u64::try_from(index).unwrap();
            span.end_ns = span.start_ns + duration_ns;
            span
        })
        .to_vec();
    bench.store(&spans).await;
    for (min_ms, expected) in [("0", 3), ("5", 3), ("5.001", 2), ("10", 2), ("10.5", 1), ("2500", 1), ("2501", 0)] {
        let newest_first: Vec<&String> = ids.iter().rev().take(expected).collect();
        assert_eq!(found(&bench, &[("min_ms", min_ms)]).await.iter().collect::<Vec<_>>(), newest_first, "{min_ms}");
    }
}

#[tokio::test]
async fn pagination_neither_skips_nor_repeats_traces() {
    let bench = Bench::start();
    let start_ns = now_ns();
    // Groups of four traces start in the same nanosecond, so that pages of five split groups.
    let spans: Vec<Span> = (0..23_u64)
        .map(|number| {
            let mut span = span(&new_trace_id(), if number % 2 == 0 { "even" } else { "odd" });
            span.start_ns = start_ns + number / 4;
            span.end_ns = span.start_ns + MS;
            span
        })
        .collect();
    bench.store(&spans).await;
    for (filter, expected) in [("", 23), ("even", 12)] {
        let mut listed: Vec<TraceSummary> = Vec::new();
        let mut before: Option<String> = None;
        loop {
            let mut query = vec![("limit", "5"), ("text", filter)];
            if let Some(before) = &before {
                query.push(("before", before));
            }
            let page = bench.list(&query).await;
            assert!(page.traces.len() == 5 || page.next_before.is_none(), "a short page is not the last one");
            assert!(page.traces.len() <= 5);
            listed.extend(page.traces);
            before = page.next_before;
            if before.is_none() {
                break;
            }
            assert!(listed.len() < 100, "the pages do not end");
        }
        let distinct: HashSet<&str> = listed.iter().map(|summary| summary.trace_id.as_str()).collect();
        assert_eq!((listed.len(), distinct.len()), (expected, expected), "{filter}");
        assert!(listed.is_sorted_by(|newer, older| newer.start_ns >= older.start_ns));
    }
}

#[tokio::test]
async fn a_full_last_page_has_no_next_page() {
    let bench = Bench::start();
    bench.store(&[span(&new_trace_id(), "one"), span(&new_trace_id(), "two")]).await;
    let list = bench.list(&[("limit", "2")]).await;
    assert_eq!((list.traces.len(), list.next_before), (2, None));
}

#[tokio::test]
async fn invalid_parameters_of_the_list_are_rejected_by_name() {
    let bench = Bench::start();
    for (key, value) in [
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "-1"),
        ("limit", "many"),
        ("error", "maybe"),
        ("min_ms", "-1"),
        ("min_ms", "NaN"),
        ("min_ms", "inf"),
        ("min_ms", "long"),
        ("before", "yesterday"),
        ("before", "-"),
        ("before", "1-abc"),
    ] {
        let error = refused(bench.get_with("/api/traces", &[(key, value)]), 400, &format!("invalid_{key}")).await;
        assert!(error.message.contains(key), "{}", error.message);
    }
}

#[tokio::test]
async fn an_invalid_trace_id_is_rejected() {
    let bench = Bench::start();
    let (short, long) = ("a".repeat(31), "a".repeat(33));
    for id in ["1", &short, &long, &"0".repeat(32), &"g".repeat(32), "%F0%9F%A6%80"] {
        for path in [format!("/api/traces/{id}"), format!("/api/traces/{id}/otlp")] {
            refused(bench.get(&path), 400, "invalid_trace_id").await;
        }
    }
}

#[tokio::test]
async fn an_unknown_trace_is_not_found() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    refused(bench.get(&format!("/api/traces/{trace_id}")), 404, "unknown_trace").await;
    refused(bench.get(&format!("/api/traces/{trace_id}/otlp")), 404, "unknown_trace").await;
}

#[tokio::test]
async fn an_unsupported_method_is_rejected() {
    let bench = Bench::start();
    refused(bench.request("DELETE", "/api/traces"), 405, "method_not_allowed").await;
}

/// Returns a span with a value in every field.
fn full(trace_id: &str, parent: &Span) -> Span {
    let mut full = span(trace_id, "full");
    full.parent_span_id = Some(parent.span_id);
    full.start_ns = parent.start_ns + 1;
    full.trace_state = "vendor=1".to_owned();
    full.attributes = vec![
        KeyValue::new("text", "crème brûlée"),
        KeyValue::new("true", Value::Bool(true)),
        KeyValue::new("large", Value::Int(i64::MAX)),
        KeyValue::new("half", Value::Double(0.5)),
        KeyValue::new("bytes", Value::Bytes(vec![0, 255])),
        KeyValue::new("list", Value::Array(vec![Value::Int(1), Value::from("two")])),
        KeyValue::new("map", Value::Map(vec![KeyValue::new("key", "value")])),
    ];
    full.events.push(Event {
        time_ns: full.start_ns + 7,
        name: "exception".to_owned(),
        attributes: vec![KeyValue::new("exception.type", "Oops")],
        dropped_attributes_count: 1,
    });
    full.links.push(Link {
        trace_id: TraceId::from_hex(&new_trace_id()).unwrap(),
        span_id: SpanId::from_hex(&new_span_id()).unwrap(),
        trace_state: String::new(),
        flags: 1,
        attributes: vec![KeyValue::new("reason", "retry")],
        dropped_attributes_count: 0,
    });
    full.status = Status { code: StatusCode::Error, message: "it broke".to_owned() };
    full
}

#[tokio::test]
async fn a_trace_has_all_fields_that_were_sent() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let root = span(&trace_id, "root");
    let sent = full(&trace_id, &root);
    bench.store(&[sent.clone(), root.clone()]).await;
    let trace = bench.find_trace(&trace_id).await.unwrap();
    assert_eq!(trace.spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["root", "full"]);
    let seen = &trace.spans[1];
    assert_eq!(seen.span_id, sent.span_id.to_string());
    assert_eq!(seen.parent_span_id, Some(root.span_id.to_string()));
    assert_eq!((seen.kind, seen.service.as_str(), seen.scope.as_str()), (SpanKind::Client, "bank", "vault"));
    assert_eq!((seen.start_ns, seen.duration_ns), (sent.start_ns, sent.end_ns - sent.start_ns));
    assert_eq!((seen.status, seen.status_message.as_str()), (inspector::StatusCode::Error, "it broke"));
    let values: Vec<&AttributeValue> = seen.attributes.iter().map(|attribute| &attribute.value).collect();
    let text = |text: &str| AttributeValue::String(text.to_owned());
    assert_eq!(*values[0], text("crème brûlée"));
    assert_eq!(*values[1], AttributeValue::Bool(true));
    assert_eq!(*values[2], AttributeValue::Int(i64::MAX));
    assert_eq!(*values[3], AttributeValue::Double(0.5));
    assert_eq!(*values[4], AttributeValue::Bytes("AP8=".to_owned()));
    assert_eq!(*values[5], AttributeValue::Array(vec![AttributeValue::Int(1), text("two")]));
    assert!(matches!(values[6], AttributeValue::Map(entries) if entries[0].value == text("value")));
    assert_eq!((seen.events[0].name.as_str(), seen.events[0].time_ns), ("exception", sent.start_ns + 7));
    assert_eq!(seen.events[0].attributes[0].value, text("Oops"));
    assert_eq!(seen.links[0].trace_id, sent.links[0].trace_id.to_string());
    assert_eq!(seen.links[0].attributes[0].value, text("retry"));
    assert!(seen.warnings.is_empty(), "{:?}", seen.warnings);
}

#[tokio::test]
async fn integers_are_strings_on_the_wire() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "root")]).await;
    let trace: serde_json::Value = bench.read(&format!("/api/traces/{trace_id}")).await;
    for key in ["start_ns", "duration_ns", "align_ns"] {
        assert!(trace["spans"][0][key].is_string(), "{key} is {}", trace["spans"][0][key]);
    }
}

#[tokio::test]
async fn a_span_is_marked_until_its_parent_arrives() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let root = span(&trace_id, "root");
    let mut child = span(&trace_id, "child");
    child.parent_span_id = Some(root.span_id);
    bench.store(&[child]).await;
    let warnings = bench.find_trace(&trace_id).await.unwrap().spans.remove(0).warnings;
    assert_eq!(warnings, [inspector::Warning::Orphan]);
    assert!(!bench.list(&[]).await.traces[0].has_root);
    bench.store(&[root]).await;
    let trace = bench.find_trace(&trace_id).await.unwrap();
    assert!(trace.spans.iter().all(|span| span.warnings.is_empty()), "{trace:?}");
    assert!(bench.list(&[]).await.traces[0].has_root);
}

#[tokio::test]
async fn the_download_is_otlp_with_the_same_spans() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let root = span(&trace_id, "root");
    let sent = [root.clone(), full(&trace_id, &root)];
    bench.store(&sent).await;
    let response = bench.get(&format!("/api/traces/{trace_id}/otlp")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let body = response.bytes().await.unwrap();
    let mut decoded = decode_traces(&body, Encoding::Json).unwrap();
    assert!(decoded.rejections.is_empty());
    decoded.records.sort_by_key(|span| span.start_ns);
    assert_eq!(decoded.records, sent);
}

#[tokio::test]
async fn a_received_trace_is_an_event_of_the_live_stream() {
    let bench = Bench::start();
    let mut live = bench.get("/api/traces/live").send().await.unwrap();
    assert_eq!(live.status(), 200);
    let content_type = live.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(content_type.starts_with("text/event-stream"), "{content_type}");
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "here I am")]).await;
    let mut text = String::new();
    let summary = tokio::time::timeout(DEADLINE, async {
        loop {
            text.push_str(str::from_utf8(&live.chunk().await.unwrap().expect("the stream does not end")).unwrap());
            if let Some((event, _)) = text.split_once("\n\n").filter(|(event, _)| event.contains("data:")) {
                assert!(event.lines().any(|line| line == "event: trace"), "{event}");
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                return serde_json::from_str::<TraceSummary>(data).unwrap();
            }
        }
    });
    let summary = summary.await.expect("an event in time");
    assert_eq!((summary.trace_id, summary.root_name.as_str()), (trace_id, "here I am"));
}

#[tokio::test]
async fn an_open_live_stream_does_not_delay_shutdown() {
    let mut bench = Bench::start();
    let live = bench.get("/api/traces/live").send().await.unwrap();
    assert_eq!(live.status(), 200);
    assert!(tokio::task::spawn_blocking(move || bench.stop()).await.unwrap().success());
    drop(live);
}

#[tokio::test]
async fn stored_traces_survive_a_restart_and_a_kill() {
    let mut bench = Bench::start();
    let trace_id = new_trace_id();
    let root = span(&trace_id, "root");
    bench.store(&[root.clone(), full(&trace_id, &root)]).await;
    let before = bench.find_trace(&trace_id).await.unwrap();
    bench.kill_and_restart();
    assert_eq!(bench.find_trace(&trace_id).await.unwrap(), before);
    assert!(bench.restart().success());
    assert_eq!(bench.find_trace(&trace_id).await.unwrap(), before);
    assert_eq!(found(&bench, &[]).await, [trace_id]);
}

#[tokio::test]
async fn a_span_that_is_sent_twice_is_stored_once() {
    let bench = Bench::start();
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    let body = as_json(&[(&trace_id, &span_id, "once")]);
    for _ in 0..2 {
        let request = bench.trusted("/v1/traces").header(header::CONTENT_TYPE, "application/json");
        assert_eq!(request.body(body.clone()).send().await.unwrap().status(), 200);
    }
    let summary = eventually("the trace", async || bench.list(&[]).await.traces.pop()).await;
    assert_eq!(summary.span_count, 1);
}
