//! Tests of retention: which records are deleted, and in which steps.

use std::time::Duration;

use crate::support::{child, failed, log_cursor, noise, record, root, sink, span_cursor, span_id, trace_id};
use rusqlite::Connection;
use tempfile::TempDir;
use throughline_context::TraceId;
use throughline_otlp::{KeyValue, Span};
use throughline_store::{ListFilter, Retention, SpanStore, Store, Tidied};

fn store_with(retention: Retention) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), retention).unwrap();
    (dir, store)
}

/// Sets the time at which all records were stored back by this number of seconds.
fn backdate(dir: &TempDir, seconds: i64) {
    let file = Connection::open(dir.path().join("traces.db")).unwrap();
    for table in ["blocks", "logs"] {
        file.execute(&format!("UPDATE {table} SET stored_s = stored_s - ?1"), [seconds]).unwrap();
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

fn for_an_hour() -> Retention {
    Retention::default().with_age(HOUR)
}

/// Returns a span of about eight thousand bytes after compression.
fn large(trace: u8, number: u64) -> Span {
    let mut span = root(trace, number, number);
    span.attributes = vec![KeyValue::new("k", noise(10_000))];
    span
}

#[tokio::test]
async fn by_default_nothing_is_deleted() {
    let (dir, store) = store_with(Retention::default());
    store.append(vec![root(1, 1, 1)]).await.unwrap();
    backdate(&dir, i64::from(u32::MAX));
    assert_eq!(store.tidy().await.unwrap(), Tidied::default());
    assert_eq!(store.counts().await.unwrap().spans, 1);
}

#[tokio::test]
async fn old_records_are_deleted_from_all_tables() {
    let (dir, store) = store_with(for_an_hour());
    store.append(vec![root(1, 1, 1), child(1, 2, 1, 1), root(2, 1, 1)]).await.unwrap();
    store.append_logs(vec![record(1, 1, 1), record(2, 1, 1)]).await.unwrap();
    backdate(&dir, 3_601);
    store.append(vec![root(3, 1, 1)]).await.unwrap();
    store.append_logs(vec![record(3, 1, 1)]).await.unwrap();
    backdate(&dir, 3_000);
    let tidied = store.tidy().await.unwrap();
    // The writer may have deleted some already.
    assert!(tidied.spans <= 3 && tidied.log_records <= 2 && tidied.lost == 0, "{tidied:?}");
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.spans, counts.traces, counts.log_records), (1, 1, 1));
    for gone in [1, 2] {
        assert_eq!(store.trace(trace_id(gone)).await.unwrap(), []);
        assert_eq!(store.trace_logs(trace_id(gone)).await.unwrap(), []);
        assert_eq!(store.summary(trace_id(gone)).await.unwrap(), None);
    }
    let list = store.list(ListFilter::default()).await.unwrap();
    assert_eq!(list.iter().map(|summary| summary.trace_id).collect::<Vec<_>>(), [trace_id(3)]);
    assert_eq!(store.trace(trace_id(3)).await.unwrap().len(), 1);
    assert_eq!(store.after(0, 10).await.unwrap()[0].0, 4, "positions are not reused");
    assert_eq!(store.logs_after(0, 10).await.unwrap()[0].0, 3);
    let file = Connection::open(dir.path().join("traces.db")).unwrap();
    for (table, rows) in [("blocks", 1), ("traces", 1), ("trace_blocks", 1), ("logs", 1), ("resources", 1)] {
        let found: i64 = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(found, rows, "{table}");
    }
}

#[tokio::test]
async fn a_trace_keeps_the_spans_that_are_not_too_old() {
    // A store with retention may delete old records at any time, so both parts are stored before it is opened with retention.
    let (dir, store) = store_with(Retention::default());
    store.append(vec![failed(root(1, 1, 1)), child(1, 2, 1, 1)]).await.unwrap();
    backdate(&dir, 3_601);
    store.append(vec![child(1, 3, 2, 1)]).await.unwrap();
    store.close().await;
    drop(store);
    let store = Store::open_with(dir.path(), for_an_hour()).unwrap();
    store.tidy().await.unwrap();
    let spans = store.trace(trace_id(1)).await.unwrap();
    assert_eq!(spans.iter().map(|span| span.span_id).collect::<Vec<_>>(), [span_id(3)]);
    let summary = store.summary(trace_id(1)).await.unwrap().unwrap();
    assert_eq!((summary.span_count, summary.error_count), (1, 0));
    assert_eq!((summary.root_name.as_str(), summary.has_root), ("root 1", true), "facts about deleted spans are kept");
    // Late spans are still added to the trace.
    store.append(vec![child(1, 4, 3, 1)]).await.unwrap();
    assert_eq!(store.summary(trace_id(1)).await.unwrap().unwrap().span_count, 2);
    assert_eq!(store.counts().await.unwrap().traces, 1);
}

/// Returns the size of the file in bytes, after a checkpoint.
async fn file_bytes(dir: &TempDir) -> u64 {
    let file = Connection::open(dir.path().join("traces.db")).unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    std::fs::metadata(dir.path().join("traces.db")).unwrap().len()
}

#[tokio::test]
async fn above_the_size_limit_the_oldest_traces_are_deleted_and_the_file_shrinks() {
    let (dir, store) = store_with(Retention::default());
    for number in 1..=200 {
        store.append(vec![large(u8::try_from(number).unwrap(), number)]).await.unwrap();
    }
    store.close().await;
    drop(store);
    assert!(file_bytes(&dir).await > 1_500_000);

    let limit = 1_000_000;
    let store = Store::open_with(dir.path(), Retention::default().with_bytes(limit)).unwrap();
    store.tidy().await.unwrap();
    let left = store.counts().await.unwrap().spans;
    assert!((50..125).contains(&left), "{left} spans are left");
    let list = store.list(ListFilter::default().with_limit(1_000)).await.unwrap();
    let newest: Vec<TraceId> = (1..=200).rev().take(list.len()).map(trace_id).collect();
    assert_eq!(list.iter().map(|summary| summary.trace_id).collect::<Vec<_>>(), newest);
    assert!(file_bytes(&dir).await <= limit * 11 / 10);
    // The file stays within the limit when more spans arrive.
    for number in 1..=100 {
        store.append(vec![large(201 + u8::try_from(number % 50).unwrap(), number)]).await.unwrap();
        store.tidy().await.unwrap();
    }
    assert!(file_bytes(&dir).await <= limit * 11 / 10);
}

#[tokio::test]
async fn undelivered_records_are_kept_up_to_the_hard_limit_and_counted_above_it() {
    let sinks = for_an_hour()
        .with_unsent_bytes(1_000_000)
        .with_span_sinks([sink("honeycomb"), sink("other")])
        .with_log_sinks([sink("honeycomb")]);
    let (dir, store) = store_with(sinks);
    for number in 1..=10 {
        store.append(vec![large(number, 1)]).await.unwrap();
    }
    store.append_logs(vec![record(1, 1, 1), record(1, 2, 1)]).await.unwrap();
    backdate(&dir, 3_601);
    store.set_cursor(&span_cursor("honeycomb"), 10).await.unwrap();
    store.set_cursor(&span_cursor("other"), 4).await.unwrap();
    store.tidy().await.unwrap();
    // Spans that both sinks delivered are deleted; the others are kept, regardless of their age.
    assert_eq!(store.after(0, 100).await.unwrap()[0].0, 5);
    assert_eq!(store.counts().await.unwrap().log_records, 2);
    store.set_cursor(&log_cursor("honeycomb"), 2).await.unwrap();
    store.tidy().await.unwrap();
    assert_eq!(store.counts().await.unwrap().log_records, 0);
    assert_eq!(
        (store.lost(&span_cursor("honeycomb")).await.unwrap(), store.lost(&span_cursor("other")).await.unwrap()),
        (0, 0)
    );

    // Six spans are undelivered; with the next ones, the store exceeds its limit.
    for number in 11..=150 {
        store.append(vec![large(number, 1)]).await.unwrap();
    }
    backdate(&dir, 3_601);
    store.tidy().await.unwrap();
    let first = store.after(0, 1).await.unwrap()[0].0;
    assert!((20..100).contains(&first), "{first} is the first that is left");
    assert_eq!(store.lost(&span_cursor("honeycomb")).await.unwrap(), first - 1 - 10);
    assert_eq!(store.lost(&span_cursor("other")).await.unwrap(), first - 1 - 4);
    // The count is kept when the sink advances.
    store.set_cursor(&span_cursor("other"), 150).await.unwrap();
    assert_eq!(store.lost(&span_cursor("other")).await.unwrap(), first - 1 - 4);
}

/// The writer is busy while a step runs, so the number of rows that a step touches is bounded.
#[tokio::test]
async fn the_rows_of_a_retention_step_are_bounded() {
    let (dir, store) = store_with(for_an_hour());
    // Each span has its own trace, which is the most work.
    for batch in 0..20_u64 {
        let spans = (0..1_000_u64).map(|number| {
            let mut span = root(1, 1, 1);
            let id = u128::from(batch * 1_000 + number + 1);
            span.trace_id = TraceId::from_bytes(id.to_be_bytes()).unwrap();
            span
        });
        store.append(spans.collect()).await.unwrap();
    }
    store.append_logs((1..=3_000).map(|number| record(1, number, 1)).collect()).await.unwrap();
    let file = Connection::open(dir.path().join("traces.db")).unwrap();
    backdate(&dir, 3_601);
    drop(file);
    let tidied = store.tidy().await.unwrap();
    assert!(tidied.most_rows <= 5_000, "{tidied:?}");
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.spans, counts.traces, counts.log_records), (0, 0, 0));
    // Unused names are deleted only in the next age; new traces have their names in any case.
    store.append(vec![root(9, 1, 1)]).await.unwrap();
    assert_eq!(store.summary(trace_id(9)).await.unwrap().unwrap().root_name, "root 1");
}

#[tokio::test]
async fn lost_log_records_count_for_the_cursor_of_log_records() {
    let too_much = Retention::default().with_bytes(1).with_unsent_bytes(1).with_log_sinks([sink("honeycomb")]);
    let (_dir, store) = store_with(too_much);
    store.set_cursor(&span_cursor("honeycomb"), 3).await.unwrap();
    store.append_logs((1..=3).map(|number| record(1, number, 1)).collect()).await.unwrap();
    store.tidy().await.unwrap();
    assert_eq!(store.counts().await.unwrap().log_records, 0);
    assert_eq!(store.lost(&log_cursor("honeycomb")).await.unwrap(), 3);
    assert_eq!(store.lost(&span_cursor("honeycomb")).await.unwrap(), 0);
}
