//! Tests of the facts about a trace.

use std::time::Duration;

use crate::support::{child, failed, record, root, store, trace_id};
use rusqlite::Connection;
use throughline_otlp::{KeyValue, Severity, Span};
use throughline_store::{MAX_ROUTES, MAX_TEXT_CHARS, Retention, SpanStore, Store, TraceFacts};

const MS: u64 = 1_000_000;

fn request(mut span: Span, route: &str, lasted_ms: u64) -> Span {
    span.attributes.push(KeyValue::new("http.route", route));
    span.end_ns = span.start_ns + lasted_ms * MS;
    span
}

async fn facts(store: &Store, trace: u8) -> TraceFacts {
    store.facts(vec![trace_id(trace)]).await.unwrap().remove(0)
}

#[tokio::test]
async fn facts_cover_all_spans_and_log_records_of_a_trace() {
    let (_dir, store) = store();
    store.append(vec![root(1, 1, 1), request(child(1, 2, 1, 1), "/a", 5), child(1, 3, 1, 1)]).await.unwrap();
    store.append(vec![request(child(1, 4, 1, 1), "/a", 9), request(child(1, 5, 1, 1), "/b", 20)]).await.unwrap();
    let found = facts(&store, 1).await;
    assert_eq!((found.has_error, found.slowest_root_ns, found.has_more_routes), (false, Some(1_000 * MS), false));
    assert_eq!(found.routes, [("/b".to_owned(), 20 * MS), ("/a".to_owned(), 9 * MS)]);
    store.append(vec![failed(child(1, 6, 1, 1)), child(2, 1, 1, 9)]).await.unwrap();
    assert!(facts(&store, 1).await.has_error);
    assert_eq!(facts(&store, 2).await, TraceFacts::default());
    assert_eq!(facts(&store, 3).await, TraceFacts::default(), "the trace does not exist");
}

#[tokio::test]
async fn an_error_record_counts_before_and_after_the_spans() {
    let (_dir, store) = store();
    let of = |trace, number, severity| {
        let mut record = record(trace, number, 1);
        record.severity = severity;
        record
    };
    store.append_logs(vec![of(1, 1, Severity::ERROR), of(2, 1, Severity::from_number(13))]).await.unwrap();
    assert!(facts(&store, 1).await.has_error, "before its spans");
    store.append(vec![root(1, 1, 1), root(2, 1, 1)]).await.unwrap();
    assert!(facts(&store, 1).await.has_error);
    assert!(!facts(&store, 2).await.has_error);
    store.append_logs(vec![of(2, 2, Severity::from_number(21))]).await.unwrap();
    let both = store.facts(vec![trace_id(2), trace_id(1)]).await.unwrap();
    assert!(both.iter().all(|facts| facts.has_error));
}

#[tokio::test]
async fn facts_are_read_without_blocks() {
    let (dir, store) = store();
    store.append(vec![request(root(1, 1, 1), "/a", 5), failed(child(1, 2, 1, 1))]).await.unwrap();
    let before = facts(&store, 1).await;
    let other = Connection::open(dir.path().join("traces.db")).unwrap();
    assert_eq!(other.execute("UPDATE blocks SET body = zeroblob(8)", []).unwrap(), 1);
    assert!(store.trace(trace_id(1)).await.is_err());
    assert_eq!(facts(&store, 1).await, before);
}

#[tokio::test]
async fn the_slowest_routes_are_kept_and_long_routes_are_cut() {
    let (_dir, store) = store();
    let requests = (1..=100_u64).map(|number| request(child(1, number, 1, 999), &format!("/{number}"), number));
    store.append(requests.collect()).await.unwrap();
    let found = facts(&store, 1).await;
    assert!(found.has_more_routes);
    let durations: Vec<u64> = found.routes.iter().map(|(_, ns)| ns / MS).collect();
    assert_eq!(durations, (37..=100).rev().collect::<Vec<_>>());
    assert_eq!(durations.len(), MAX_ROUTES);
    store.append(vec![request(root(2, 1, 1), &"é".repeat(1_000), 1)]).await.unwrap();
    assert_eq!(facts(&store, 2).await.routes[0].0.chars().count(), MAX_TEXT_CHARS);
}

#[tokio::test]
async fn facts_survive_a_restart_and_are_deleted_with_the_trace() {
    let (dir, store) = store();
    store.append(vec![request(root(1, 1, 1), "/a", 5)]).await.unwrap();
    store.close().await;
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    store.append(vec![request(child(1, 2, 1, 1), "/b", 3)]).await.unwrap();
    let routes = [("/a".to_owned(), 5 * MS), ("/b".to_owned(), 3 * MS)];
    assert_eq!(facts(&store, 1).await.routes, routes);
    store.close().await;
    drop(store);
    let other = Connection::open(dir.path().join("traces.db")).unwrap();
    other.execute("UPDATE blocks SET stored_s = 1", []).unwrap();
    let store = Store::open_with(dir.path(), Retention::default().with_age(Duration::from_secs(3_600))).unwrap();
    store.tidy().await.unwrap();
    assert_eq!(facts(&store, 1).await, TraceFacts::default());
}
