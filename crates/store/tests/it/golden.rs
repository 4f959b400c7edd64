//! Tests of the golden files: a file of an earlier build of this version can be read, and a file of a later version is rejected.
//!
//! `cargo run -p throughline-store --example golden` writes them.

use std::{fs, path::Path};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_otlp::Signal;
use throughline_store::{Archive, ListFilter, Metrics, Outbox, SpanStore as _, Store, StoreError, inspect};

use crate::{
    others::{self, DECIDED_S, METRIC_PLACE, PLACES},
    spans::{spans, trace_id},
};

/// The files, and the version of each that this program writes.
const VERSIONS: [(&str, u32); 3] = [("traces", 1), ("outbox", 2), ("metrics", 1)];

/// Creates a directory with copies of the golden files of the current versions.
fn golden() -> TempDir {
    golden_of(VERSIONS)
}

/// Creates a directory with copies of the golden files of these versions.
fn golden_of(versions: [(&str, u32); 3]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, version) in versions {
        fs::copy(files.join(format!("{name}-{version}.db")), dir.path().join(format!("{name}.db"))).unwrap();
    }
    dir
}

#[tokio::test]
async fn a_golden_store_is_read() {
    let dir = golden();
    let store = Store::open(dir.path()).unwrap();
    let spans = spans();
    let places: Vec<u64> = (1..=spans.len() as u64).collect();
    let after = store.after(0, 100).await.unwrap();
    assert_eq!(after.iter().map(|(place, _)| *place).collect::<Vec<_>>(), places);
    assert_eq!(after.into_iter().map(|(_, span)| span).collect::<Vec<_>>(), spans);
    let records = others::log_records();
    let after: Vec<_> = store.logs_after(0, 100).await.unwrap();
    assert_eq!(after, [(1, records[0].clone()), (2, records[1].clone())]);
    assert_eq!(store.trace(trace_id(2)).await.unwrap(), spans[3..]);
    assert_eq!(store.trace(trace_id(1)).await.unwrap().len(), 3);
    assert_eq!(store.trace_logs(trace_id(1)).await.unwrap(), records[..1]);
    for (signal, place, lost) in PLACES {
        let cursor = others::cursor(signal);
        assert_eq!(
            (store.cursor(&cursor).await.unwrap(), store.lost(&cursor).await.unwrap()),
            (place, lost),
            "{cursor}"
        );
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.spans, counts.traces, counts.log_records), (4, 2, 2));
    assert_eq!((counts.last_span, counts.last_log_record), (4, 2));

    // The list is the same as that of a new store with the same records, and the records are duplicates when they are sent again.
    let (_dir, fresh) = crate::support::store();
    fresh.append(spans.clone()).await.unwrap();
    let list = store.list(ListFilter::default()).await.unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list, fresh.list(ListFilter::default()).await.unwrap());
    let text = ListFilter::default().with_text("ANDREA".to_owned());
    let found = store.list(text).await.unwrap();
    assert_eq!(found.iter().map(|summary| summary.trace_id).collect::<Vec<_>>(), [trace_id(1)]);
    // The facts are the same as well; a log record of severity ERROR is part of them.
    fresh.append_logs(records.clone()).await.unwrap();
    let facts = store.facts(vec![trace_id(1), trace_id(2)]).await.unwrap();
    assert!(facts[0].has_error && !facts[1].has_error, "{facts:?}");
    assert_eq!(facts, fresh.facts(vec![trace_id(1), trace_id(2)]).await.unwrap());
    assert_eq!(store.append(spans).await.unwrap().duplicates, 4);
    assert_eq!(store.append_logs(records).await.unwrap().duplicates, 2);
}

#[tokio::test]
async fn a_golden_outbox_is_read() {
    for version in 1..=2 {
        let dir = golden_of([("traces", 1), ("outbox", version), ("metrics", 1)]);
        let outbox = Outbox::open(dir.path()).unwrap();
        let ids = (1..=4).map(trace_id).collect();
        assert_eq!(outbox.rates(ids).await.unwrap(), others::decisions().into_iter().collect());
        assert_eq!(outbox.quarantined_by(&others::cursor(Signal::Traces), 100).await.unwrap(), others::quarantined());
        assert_eq!(outbox.forget_decisions(DECIDED_S).await.unwrap(), 0);
        assert_eq!(outbox.forget_decisions(DECIDED_S + 1).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_golden_store_of_metrics_is_read() {
    let dir = golden();
    let metrics = Metrics::open(dir.path()).unwrap();
    let points = others::points();
    let after = metrics.metrics_after(0, 100).await.unwrap();
    assert_eq!(after, (1..).zip(points.clone()).collect::<Vec<_>>());
    assert_eq!(metrics.last_values(None, 100).await.unwrap(), points, "their names are in this order");
    assert_eq!(metrics.cursor(&others::cursor(Signal::Metrics)).await.unwrap(), METRIC_PLACE);
    let counts = metrics.counts().await.unwrap();
    assert_eq!((counts.received, counts.series, counts.queued, counts.lost), (5, 5, 5, 0));
    assert_eq!(metrics.append(points).await.unwrap().duplicates, 5);
}

/// Returns the names and the SQL of the tables and indexes.
fn schema(file: &Path) -> Vec<(String, Option<String>)> {
    let connection = Connection::open(file).unwrap();
    let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// A changed schema needs a new version.
#[test]
fn new_files_have_the_schema_of_the_golden_ones() {
    let (golden, fresh) = (golden(), tempfile::tempdir().unwrap());
    drop((
        Store::open(fresh.path()).unwrap(),
        Outbox::open(fresh.path()).unwrap(),
        Metrics::open(fresh.path()).unwrap(),
    ));
    for file in ["traces.db", "outbox.db", "metrics.db"] {
        assert_eq!(schema(&fresh.path().join(file)), schema(&golden.path().join(file)), "{file}");
    }
}

/// Returns the error of each way to open a file.
fn errors(dir: &Path, file: &str) -> Vec<StoreError> {
    let opened = match file {
        "traces.db" => vec![Store::open(dir).map(drop), Archive::open(dir).map(drop)],
        "outbox.db" => vec![Outbox::open(dir).map(drop)],
        _ => vec![Metrics::open(dir).map(drop)],
    };
    opened.into_iter().chain([inspect(dir).map(drop)]).map(Result::unwrap_err).collect()
}

fn change(file: &Path, statement: &str) -> Vec<u8> {
    Connection::open(file).unwrap().execute_batch(statement).unwrap();
    fs::read(file).unwrap()
}

#[test]
fn a_file_of_a_later_version_is_rejected_and_not_changed() {
    for (name, version) in VERSIONS {
        let (dir, name, later) = (golden(), format!("{name}.db"), version + 1);
        let file = dir.path().join(&name);
        let before = change(&file, &format!("PRAGMA user_version = {later}"));
        for error in errors(dir.path(), &name) {
            assert!(matches!(error, StoreError::NewerFormat { .. }), "{error:?}");
            let (error, shown) = (error.to_string(), file.display());
            let start =
                format!("{shown} has format version {later}, and this program reads versions up to {version}: ");
            assert!(error.starts_with(&start) && error.contains("move the file away"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), before, "{name}");
    }
}

#[test]
fn a_file_from_before_the_first_release_is_rejected_and_not_changed() {
    for (name, id) in [("traces.db", 0x5448_4c4e), ("outbox.db", 0x5448_4c4f), ("metrics.db", 0x5448_4c4d)] {
        let dir = golden();
        let file = dir.path().join(name);
        let before = change(&file, &format!("PRAGMA application_id = {id}; PRAGMA user_version = 3"));
        for error in errors(dir.path(), name) {
            assert!(matches!(error, StoreError::UnreleasedFormat { .. }), "{error:?}");
            let (error, shown) = (error.to_string(), file.display().to_string());
            assert!(error.starts_with(&shown) && error.contains("move the file away"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), before, "{name}");
    }
}

#[test]
fn a_store_with_an_unknown_dictionary_is_rejected_and_not_changed() {
    let dir = golden();
    let file = dir.path().join("traces.db");
    let before = change(&file, "INSERT INTO dictionaries VALUES (0x12345678)");
    for error in errors(dir.path(), "traces.db") {
        assert!(matches!(error, StoreError::UnknownDictionary { found: 0x1234_5678, .. }), "{error:?}");
        let (error, shown) = (error.to_string(), file.display().to_string());
        assert!(error.starts_with(&shown) && error.contains("dictionary 12345678"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), before);
}
