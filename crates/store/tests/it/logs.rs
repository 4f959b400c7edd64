//! Tests that log records are stored once, and can be read by trace, in commit order, and after a restart.

use std::fs;

use crate::support::{record, root, service, span_cursor, span_id, store, trace_id};
use throughline_context::keys;
use throughline_otlp::{KeyValue, LogRecord, Scope, Severity, Value};
use throughline_store::{Appended, MAX_AFTER_BYTES, MAX_TRACE_LOGS, SpanStore, Store, StoreError};
use tokio::{sync::broadcast::error::TryRecvError, task::JoinSet};

/// Returns a record with something in every field.
fn full(trace: u8) -> LogRecord {
    LogRecord {
        observed_time_ns: 9,
        severity: Severity::ERROR,
        severity_text: "Error".to_owned(),
        body: Value::Map(vec![KeyValue::new("list", vec![Value::Bool(true), Value::Empty])]),
        attributes: vec![KeyValue::new("text", "with a \0 in it")],
        dropped_attributes_count: 1,
        flags: 1,
        span_id: Some(span_id(7)),
        scope: Scope { name: "scope".to_owned(), ..Scope::default() }.into(),
        // It exceeds SQLite's integers.
        time_ns: u64::MAX,
        ..record(trace, 1, 0)
    }
}

fn without_trace(number: u64) -> LogRecord {
    LogRecord { trace_id: None, ..record(1, number, 1) }
}

/// Adds the attributes of the receiver for pages.
fn from_a_page(mut record: LogRecord, received_ns: i64, address: &str) -> LogRecord {
    record.attributes = vec![
        KeyValue::new("client.address", address),
        KeyValue::new(keys::CLIENT_REPORTED, true),
        KeyValue::new(keys::RECEIVED_NS, received_ns),
    ];
    record
}

#[tokio::test]
async fn the_records_of_a_trace_are_read_whole_and_ordered_by_time() {
    let (_dir, store) = store();
    let observed = LogRecord { time_ns: 0, observed_time_ns: 1_500_000_000, ..record(1, 3, 0) };
    let records = vec![full(1), record(1, 2, 2), observed, record(1, 4, 1), record(2, 5, 0), without_trace(6)];
    let appended = store.append_logs(records.clone()).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (6, 0));
    let found = store.trace_logs(trace_id(1)).await.unwrap();
    assert_eq!(found, [3, 2, 1, 0].map(|at| records[at].clone()));
    assert_eq!(store.trace_logs(trace_id(3)).await.unwrap(), []);
    assert_eq!(store.append_logs(vec![]).await.unwrap(), Appended::default());
    // Log records alone do not create a trace.
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.log_records, counts.last_log_record, counts.spans, counts.traces), (6, 6, 0, 0));
    assert_eq!(store.summary(trace_id(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_that_is_sent_again_is_stored_once_and_the_first_is_kept() {
    let (_dir, store) = store();
    let first = from_a_page(record(1, 1, 1), 100, "192.0.2.1");
    let again = from_a_page(record(1, 1, 1), 200, "192.0.2.2");
    let other = from_a_page(record(1, 2, 1), 100, "192.0.2.1");
    store.append_logs(vec![first.clone()]).await.unwrap();
    let mut changes = store.subscribe();
    let commits = store.commits();
    let appended = store.append_logs(vec![again.clone(), again.clone()]).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (0, 2));
    assert_eq!((changes.try_recv(), commits.has_changed().unwrap()), (Err(TryRecvError::Empty), false));
    let appended = store.append_logs(vec![other.clone(), again, without_trace(1), without_trace(1)]).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (2, 2));
    assert_eq!(store.trace_logs(trace_id(1)).await.unwrap(), [first, other]);
    assert_eq!(store.counts().await.unwrap().log_records, 3);
}

#[tokio::test]
async fn equal_records_of_different_services_are_distinct() {
    let (_dir, store) = store();
    let other = LogRecord { resource: service("api"), ..record(1, 1, 1) };
    let appended = store.append_logs(vec![record(1, 1, 1), other]).await.unwrap();
    assert_eq!(appended.stored, 2);
    let found = store.trace_logs(trace_id(1)).await.unwrap();
    assert_eq!(found.iter().map(LogRecord::service_name).collect::<Vec<_>>(), ["web", "api"]);
}

#[tokio::test]
async fn after_returns_pages_in_commit_order() {
    let (_dir, store) = store();
    for number in [5, 3, 9, 1, 7] {
        // Spans are numbered separately.
        store.append(vec![root(1, number, 1)]).await.unwrap();
        for _ in 0..2 {
            store.append_logs(vec![LogRecord { time_ns: 100 - number, ..without_trace(number) }]).await.unwrap();
        }
    }
    let mut cursor = 0;
    let mut seen = Vec::new();
    loop {
        let page = store.logs_after(cursor, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some((last, _)) = page.last() else { break };
        assert!(page.iter().all(|(place, _)| *place > cursor));
        cursor = *last;
        seen.extend(page.into_iter().map(|(_, record)| record.event_name));
    }
    assert_eq!(seen, [5, 3, 9, 1, 7].map(|number| format!("record {number}")));
    assert_eq!(store.logs_after(u64::MAX, 2).await.unwrap(), []);
}

#[tokio::test]
async fn after_is_bounded_in_bytes_but_returns_at_least_one_record() {
    let (_dir, store) = store();
    let large = |number| LogRecord { body: Value::from("x".repeat(MAX_AFTER_BYTES * 2 / 3)), ..without_trace(number) };
    store.append_logs(vec![large(1), large(2)]).await.unwrap();
    let first = store.logs_after(0, 10).await.unwrap();
    assert_eq!(first.len(), 1);
    let second = store.logs_after(first[0].0, 10).await.unwrap();
    assert_eq!((second.len(), second[0].1.event_name.as_str()), (1, "record 2"));
}

#[tokio::test]
async fn the_records_of_a_trace_are_bounded() {
    let (_dir, store) = store();
    let most = u64::try_from(MAX_TRACE_LOGS).unwrap();
    store.append_logs((0..=most).map(|number| record(1, number, most - number)).collect()).await.unwrap();
    let found = store.trace_logs(trace_id(1)).await.unwrap();
    assert_eq!(found.len(), MAX_TRACE_LOGS);
    assert_eq!((found[0].time_ns, found[0].event_name.clone()), (0, format!("record {most}")), "the earliest ones");
}

#[tokio::test]
async fn a_reopened_store_has_everything() {
    let (dir, first) = store();
    first.append_logs(vec![full(1), without_trace(2)]).await.unwrap();
    first.close().await;
    assert!(matches!(first.append_logs(vec![full(2)]).await, Err(StoreError::Closed)));
    drop(first);

    let second = Store::open(dir.path()).unwrap();
    assert_eq!(second.trace_logs(trace_id(1)).await.unwrap(), [full(1)]);
    let appended = second.append_logs(vec![full(1), without_trace(2), without_trace(3)]).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (1, 2));
    let new = second.logs_after(2, 10).await.unwrap();
    assert_eq!(new.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), [without_trace(3)]);
    assert_eq!(second.counts().await.unwrap().log_records, 3);
}

/// The files are copied when the append resolves, as after `kill -9`: another process would find the record.
#[tokio::test]
async fn acknowledged_records_are_in_the_files() {
    let (dir, store) = store();
    store.append_logs(vec![without_trace(1)]).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in ["traces.db", "traces.db-wal"] {
        fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let survivor = Store::open(copy.path()).unwrap();
    assert_eq!(survivor.logs_after(0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn subscribers_are_notified_of_log_records() {
    let (_dir, store) = store();
    let mut changes = store.subscribe();
    let mut commits = store.commits();
    store.append(vec![root(2, 1, 1)]).await.unwrap();
    assert_eq!(changes.try_recv().unwrap().trace_id, trace_id(2));
    commits.changed().await.unwrap();
    store.append_logs(vec![record(2, 1, 1), record(1, 1, 1), record(2, 2, 1)]).await.unwrap();
    // The other trace has no spans, so it has no list entry yet.
    assert_eq!(changes.try_recv().unwrap().trace_id, trace_id(2));
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty));
    commits.changed().await.unwrap();
    // A commit of records without a trace is notified as well.
    store.append_logs(vec![without_trace(1)]).await.unwrap();
    commits.changed().await.unwrap();
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty));
    store.append(vec![root(1, 1, 1)]).await.unwrap();
    commits.changed().await.unwrap();
    store.set_cursor(&span_cursor("sink"), 1).await.unwrap();
    assert!(!commits.has_changed().unwrap());
    store.close().await;
    assert!(commits.changed().await.is_err(), "the channel is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_spans_and_records_are_stored_once() {
    let (_dir, store) = store();
    let mut tasks = JoinSet::new();
    for task in 0..8_u8 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut stored = 0;
            for number in 1..=20 {
                // Pairs of tasks send the same records.
                let number = u64::from(task / 2) * 100 + number;
                loop {
                    match store.append_logs(vec![record(1, number, 1), without_trace(number)]).await {
                        Ok(appended) => break stored += appended.stored,
                        Err(StoreError::Busy) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
                while matches!(store.append(vec![root(1, number, 1)]).await, Err(StoreError::Busy)) {
                    tokio::task::yield_now().await;
                }
            }
            stored
        });
    }
    let stored: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(stored, 4 * 20 * 2);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.spans, counts.traces, counts.log_records), (80, 1, 160));
    assert_eq!(store.logs_after(0, 1000).await.unwrap().len(), 160);
}
