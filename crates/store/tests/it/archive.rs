//! Tests of backups and of archives.

use std::fs;

use crate::support::{metric_cursor, noise, record, root, store, trace_id};
use rusqlite::Connection;
use throughline_otlp::KeyValue;
use throughline_store::{Archive, Metrics, Outbox, SpanStore, Store, StoreError, backup, move_damaged_file};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_snapshot_of_a_store_in_use() {
    let (dir, store) = store();
    for number in 1..=50 {
        let mut span = root(number, 1, 1);
        span.attributes = vec![KeyValue::new("k", noise(100_000))];
        store.append(vec![span]).await.unwrap();
    }
    store.append_logs(vec![record(1, 1, 1)]).await.unwrap();
    let outbox = Outbox::open(dir.path()).unwrap();
    outbox.decide(vec![(trace_id(1), 7)], 1).await.unwrap();
    let metrics = Metrics::open(dir.path()).unwrap();
    metrics.set_cursor(&metric_cursor("a"), 3).await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    let (mut steps, mut pages) = (Vec::new(), 0);
    let runtime = tokio::runtime::Handle::current();
    let busy = store.clone();
    tokio::task::block_in_place(|| {
        backup(dir.path(), copies.path(), |done, total| {
            // Other tasks write during the backup.
            runtime.block_on(busy.append(vec![root(100, steps.len() as u64 + 1, 1)])).unwrap();
            runtime.block_on(outbox.decide(vec![(trace_id(2), 7)], 1)).unwrap();
            runtime.block_on(metrics.set_cursor(&metric_cursor("a"), 4)).unwrap();
            steps.push(done);
            pages = total;
        })
    })
    .unwrap();
    assert!(steps.len() > 2 && steps.is_sorted() && steps.last() == Some(&pages), "{steps:?} of {pages}");
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 3, "each database is one file");

    let restored = Store::open(copies.path()).unwrap();
    let counts = restored.counts().await.unwrap();
    assert_eq!((counts.spans, counts.log_records), (50, 1), "later records are not in the backup");
    assert_eq!(restored.trace(trace_id(50)).await.unwrap(), store.trace(trace_id(50)).await.unwrap());
    assert_eq!(store.counts().await.unwrap().spans, 50 + steps.len() as u64);
    let decided = Outbox::open(copies.path()).unwrap().rates(vec![trace_id(1), trace_id(2)]).await.unwrap();
    assert_eq!(decided, [(trace_id(1), 7)].into());
    assert_eq!(Metrics::open(copies.path()).unwrap().cursor(&metric_cursor("a")).await.unwrap(), 3);
}

#[tokio::test]
async fn an_archive_is_a_snapshot_of_the_store() {
    let (dir, store) = store();
    store.append(vec![root(1, 1, 1), root(2, 1, 1)]).await.unwrap();
    store.append_logs(vec![record(1, 1, 1)]).await.unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    store.append(vec![root(3, 1, 1)]).await.unwrap();
    assert_eq!(archive.counts().unwrap().spans, 2);
    assert_eq!(archive.after(0, 10).unwrap(), store.after(0, 2).await.unwrap());
    assert_eq!(archive.logs_after(0, 10).unwrap(), store.logs_after(0, 10).await.unwrap());
}

#[test]
fn neither_archive_nor_backup_creates_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    assert!(matches!(Archive::open(dir.path()), Err(StoreError::Directory(_))));
    assert!(matches!(backup(dir.path(), &copy, |_, _| {}), Err(StoreError::Directory(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_archive_of_a_newer_version_is_rejected() {
    let (dir, store) = store();
    store.close().await;
    drop(store);
    let path = dir.path().join("traces.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Archive::open(dir.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NewerFormat { file, found: 99, supported: 1 } if *file == path), "{error:?}");
}

#[tokio::test]
async fn a_damaged_file_is_renamed_and_a_new_one_is_created() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3_usize {
        fs::write(dir.path().join("traces.db"), format!("damaged {round}")).unwrap();
        fs::write(dir.path().join("traces.db-wal"), "log").unwrap();
        let aside = move_damaged_file(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&aside).unwrap(), format!("damaged {round}"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2 * round, "it is moved with its log, to a new name");
    }
    let store = Store::open(dir.path()).unwrap();
    store.append(vec![root(1, 1, 1)]).await.unwrap();
}
