//! Tests that spans are stored once, and can be read by trace, in commit order, and after a restart.

use std::fs;

use crate::support::{child, noise, root, service, span_cursor, span_id, store, trace_id};
use throughline_otlp::{Event, KeyValue, Link, Scope, Span, SpanKind, Value};
use throughline_store::{Appended, MAX_AFTER_BYTES, SpanStore, Store, StoreError};
use tokio::{sync::broadcast::error::TryRecvError, task::JoinSet};

/// Returns a span with something in every field.
fn full(trace: u8, number: u64) -> Span {
    let mut span = child(trace, number, 5, 1);
    span.trace_state = "a=b".to_owned();
    span.flags = 0x301;
    span.kind = SpanKind::Client;
    span.attributes =
        vec![KeyValue::new("text", "with a \0 in it"), KeyValue::new("list", vec![Value::Bool(true), Value::Empty])];
    span.dropped_attributes_count = 1;
    span.events = vec![Event {
        time_ns: 5,
        name: "exception".to_owned(),
        attributes: vec![KeyValue::new("k", 1.5)],
        dropped_attributes_count: 2,
    }];
    span.dropped_events_count = 3;
    span.links = vec![Link {
        trace_id: trace_id(9),
        span_id: span_id(9),
        trace_state: String::new(),
        flags: 1,
        attributes: vec![],
        dropped_attributes_count: 0,
    }];
    span.dropped_links_count = 4;
    span.scope = Scope { name: "scope".to_owned(), version: "1".to_owned(), ..Scope::default() }.into();
    // It exceeds SQLite's integers.
    span.end_ns = u64::MAX;
    crate::support::failed(span)
}

#[tokio::test]
async fn a_trace_is_read_whole_and_ordered_by_start() {
    let (_dir, store) = store();
    let spans = vec![full(1, 3), child(1, 2, 2, 1), root(1, 1, 1), root(2, 1, 0)];
    let appended = store.append(spans.clone()).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (4, 0));
    let trace = store.trace(trace_id(1)).await.unwrap();
    assert_eq!(trace, [spans[2].clone(), spans[1].clone(), spans[0].clone()]);
    assert_eq!(store.trace(trace_id(3)).await.unwrap(), []);
    assert_eq!(store.append(vec![]).await.unwrap(), Appended::default());
}

#[tokio::test]
async fn duplicates_are_stored_once_and_the_first_is_kept() {
    let (_dir, store) = store();
    let first = root(1, 1, 1);
    let mut second = first.clone();
    second.name = "other".to_owned();
    let appended = store.append(vec![first.clone(), second.clone(), root(2, 1, 1)]).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (2, 1));
    let before = store.summary(trace_id(1)).await.unwrap();

    let mut changes = store.subscribe();
    let appended = store.append(vec![second]).await.unwrap();
    assert_eq!((appended.stored, appended.duplicates), (0, 1));
    assert_eq!(store.trace(trace_id(1)).await.unwrap(), [first]);
    assert_eq!(store.summary(trace_id(1)).await.unwrap(), before);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.spans, counts.traces, counts.last_span, counts.log_records), (2, 2, 2, 0));
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty), "a duplicate changes nothing");
}

#[tokio::test]
async fn after_returns_pages_in_commit_order() {
    let (_dir, store) = store();
    for number in [5, 3, 9, 1, 7] {
        store.append(vec![root(1, number, 10 - number)]).await.unwrap();
        // A duplicate gets no position.
        store.append(vec![root(1, number, 10 - number)]).await.unwrap();
    }
    let mut cursor = 0;
    let mut seen = Vec::new();
    loop {
        let page = store.after(cursor, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some((last, _)) = page.last() else { break };
        assert!(page.iter().all(|(place, _)| *place > cursor));
        cursor = *last;
        seen.extend(page.iter().map(|(_, span)| span.span_id));
    }
    assert_eq!(seen, [5, 3, 9, 1, 7].map(span_id));
    assert_eq!(store.after(u64::MAX, 2).await.unwrap(), []);
}

#[tokio::test]
async fn after_is_bounded_in_bytes_but_returns_at_least_one_span() {
    let (_dir, store) = store();
    let large = |number| {
        let mut span = root(1, number, 1);
        span.attributes = vec![KeyValue::new("k", "x".repeat(MAX_AFTER_BYTES * 2 / 3))];
        span
    };
    store.append(vec![large(1), large(2)]).await.unwrap();
    let first = store.after(0, 10).await.unwrap();
    assert_eq!(first.len(), 1);
    let second = store.after(first[0].0, 10).await.unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].1.span_id, span_id(2));
}

#[tokio::test]
async fn cursors_are_kept_per_sink() {
    let (_dir, store) = store();
    assert_eq!(store.cursor(&span_cursor("honeycomb")).await.unwrap(), 0);
    store.set_cursor(&span_cursor("honeycomb"), 17).await.unwrap();
    store.set_cursor(&span_cursor("x-ray"), 4).await.unwrap();
    store.set_cursor(&span_cursor("honeycomb"), 18).await.unwrap();
    assert_eq!(store.cursor(&span_cursor("honeycomb")).await.unwrap(), 18);
    assert_eq!(store.cursor(&span_cursor("x-ray")).await.unwrap(), 4);
}

#[tokio::test]
async fn a_reopened_store_has_everything() {
    let (dir, first) = store();
    first.append(vec![root(1, 1, 1), full(1, 2)]).await.unwrap();
    first.set_cursor(&span_cursor("sink"), 1).await.unwrap();
    let trace = first.trace(trace_id(1)).await.unwrap();
    let summary = first.summary(trace_id(1)).await.unwrap();
    first.close().await;
    assert!(matches!(first.append(vec![root(2, 1, 1)]).await, Err(StoreError::Closed)));
    assert!(matches!(first.set_cursor(&span_cursor("sink"), 2).await, Err(StoreError::Closed)));
    drop(first);

    let second = Store::open(dir.path()).unwrap();
    assert_eq!(second.trace(trace_id(1)).await.unwrap(), trace);
    assert_eq!(second.summary(trace_id(1)).await.unwrap(), summary);
    assert_eq!(second.cursor(&span_cursor("sink")).await.unwrap(), 1);
    second.append(vec![root(3, 1, 1)]).await.unwrap();
    let next = second.after(2, 10).await.unwrap();
    assert_eq!(next[0].1.trace_id, trace_id(3));
    assert_eq!(second.counts().await.unwrap().spans, 3);
}

/// The files are copied when the append resolves, as after `kill -9`: another process would find the span.
#[tokio::test]
async fn acknowledged_spans_are_in_the_files() {
    let (dir, store) = store();
    store.append(vec![root(1, 1, 1)]).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in ["traces.db", "traces.db-wal"] {
        fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let survivor = Store::open(copy.path()).unwrap();
    assert_eq!(survivor.trace(trace_id(1)).await.unwrap().len(), 1);
}

/// Batches in the queue are written after the last handle is dropped.
#[tokio::test]
async fn dropping_the_store_loses_nothing() {
    let (dir, store) = store();
    let mut changes = store.subscribe();
    for number in 1..=20 {
        let mut append = Box::pin(store.append(vec![root(number, 1, 1)]));
        // The first poll queues the batch; then the future is dropped.
        let _ = poll_once(&mut append).await;
    }
    drop(store);
    // The channel is closed when the writer ends.
    let mut changed = 0;
    while changes.recv().await.is_ok() {
        changed += 1;
    }
    assert_eq!(changed, 20);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.counts().await.unwrap().traces, 20);
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_all_arrive_once() {
    let (_dir, store) = store();
    let mut tasks = JoinSet::new();
    for task in 0..8_u8 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut stored = 0;
            for number in 1..=25 {
                // Pairs of tasks send the same span ids, in traces that all tasks share.
                let span = root(task % 3 + 1, u64::from(task / 2) * 100 + number, number);
                loop {
                    match store.append(vec![span.clone()]).await {
                        Ok(appended) => break stored += appended.stored,
                        Err(StoreError::Busy) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            stored
        });
    }
    let stored: usize = tasks.join_all().await.into_iter().sum();
    let mut expected = std::collections::BTreeSet::new();
    for task in 0..8_u8 {
        for number in 1..=25 {
            expected.insert((trace_id(task % 3 + 1), span_id(u64::from(task / 2) * 100 + number)));
        }
    }
    assert_eq!(stored, expected.len());
    let all = store.after(0, 1000).await.unwrap();
    let found: std::collections::BTreeSet<_> = all.iter().map(|(_, span)| (span.trace_id, span.span_id)).collect();
    assert_eq!((all.len(), found), (expected.len(), expected));
    let mut in_summaries = 0;
    for trace in 1..=3 {
        let summary = store.summary(trace_id(trace)).await.unwrap().unwrap();
        in_summaries += summary.span_count;
    }
    assert_eq!(in_summaries, stored as u64);
    assert_eq!(store.counts().await.unwrap().spans, stored as u64);
}

#[tokio::test]
async fn subscribers_get_each_trace_once_per_commit() {
    let (_dir, store) = store();
    let mut changes = store.subscribe();
    store.append(vec![root(2, 1, 1), root(1, 1, 1), child(2, 2, 1, 1)]).await.unwrap();
    for trace in [1, 2] {
        let expected = store.summary(trace_id(trace)).await.unwrap().unwrap();
        assert_eq!(*changes.try_recv().unwrap(), expected, "it is the list entry");
    }
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty));
    // The next commit is broadcast with the new count.
    store.append(vec![child(1, 3, 1, 1)]).await.unwrap();
    assert_eq!(changes.try_recv().unwrap().span_count, 2);
}

#[tokio::test]
async fn subscribers_share_a_summary_and_a_slow_one_lags() {
    let (_dir, store) = store();
    let (mut one, mut other) = (store.subscribe(), store.subscribe());
    store.append(vec![root(1, 1, 1)]).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&one.try_recv().unwrap(), &other.try_recv().unwrap()));
    for number in 2..2_000 {
        store.append(vec![root(1, number, 1)]).await.unwrap();
        other.try_recv().unwrap();
    }
    assert!(matches!(one.try_recv(), Err(TryRecvError::Lagged(missed)) if missed > 0));
    assert!(one.try_recv().is_ok(), "it continues with the changes that are left");
}

#[tokio::test]
async fn runs_have_the_traces_of_the_spans() {
    let (_dir, store) = store();
    store.append(vec![root(2, 1, 1), root(1, 1, 1), child(2, 2, 1, 1)]).await.unwrap();
    store.append(vec![child(1, 3, 1, 1)]).await.unwrap();
    for cursor in 0..=4 {
        let spans = store.after(cursor, 10).await.unwrap();
        let runs = store.runs_after(cursor, 10).await.unwrap();
        let of_runs: Vec<_> =
            runs.iter().flat_map(|run| (run.first..=run.last).map(|place| (place, run.trace_id))).collect();
        let of_spans: Vec<_> = spans.iter().map(|(place, span)| (*place, span.trace_id)).collect();
        assert_eq!(of_runs, of_spans, "after {cursor}");
    }
    assert_eq!(store.runs_after(0, 1).await.unwrap().last().unwrap().last, 3, "runs of whole blocks are returned");
    assert_eq!(store.runs_after(u64::MAX, 10).await.unwrap(), []);
}

#[tokio::test]
async fn spans_of_one_resource_share_it() {
    let (_dir, store) = store();
    let mut other = root(1, 3, 1);
    other.resource = service("other");
    store.append(vec![root(1, 1, 1), root(1, 2, 1), other]).await.unwrap();
    let trace = store.trace(trace_id(1)).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&trace[0].resource, &trace[1].resource));
    assert_eq!(trace[2].service_name(), "other");
}

/// The write-ahead log is checkpointed while the store is written to, so that it does not grow without a limit.
#[tokio::test]
async fn the_log_is_checkpointed_during_writes() {
    let (dir, store) = store();
    let noise = noise(100_000);
    let bytes = |name: &str| fs::metadata(dir.path().join(name)).map_or(0, |metadata| metadata.len());
    // Without the checkpoint thread, SQLite would do it after 256 MB.
    for batch in 1..=2_000_u64 {
        let mut span = root(u8::try_from(batch % 200).unwrap() + 1, batch, batch);
        span.attributes = vec![KeyValue::new("k", noise.as_str())];
        store.append(vec![span]).await.unwrap();
        if bytes("traces.db") > 1 << 20 {
            store.close().await;
            assert_eq!(bytes("traces.db-wal"), 0, "the log is empty after the store is closed");
            return;
        }
    }
    panic!("the file has {} bytes, the log {}", bytes("traces.db"), bytes("traces.db-wal"));
}
