//! Files that are not what they should be.

use std::fs;

use crate::support::{root, store};
use rusqlite::Connection;
use throughline_otlp::KeyValue;
use throughline_store::{SpanStore, Store, StoreError};

#[test]
fn garbage_is_corrupt_and_left_alone() {
    for garbage in [&b"not a database"[..], &[0xa5; 10_000]] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("traces.db");
        fs::write(&file, garbage).unwrap();
        let result = Store::open(dir.path());
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
        assert_eq!(fs::read(&file).unwrap(), garbage);
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("traces.db");
    let other = Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE spans (a)").unwrap();
    drop(other);
    let before = fs::read(&file).unwrap();
    let result = Store::open(dir.path());
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (dir, store) = store();
    store.close().await;
    drop(store);
    let file = Connection::open(dir.path().join("traces.db")).unwrap();
    file.pragma_update(None, "user_version", 3).unwrap();
    drop(file);
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 3, supported: 2 }), "{error:?}");
}

#[tokio::test]
async fn damage_is_found_when_it_is_read() {
    let (dir, store) = store();
    let spans = (1..=200).map(|number| {
        let mut span = root(1, number, number);
        span.attributes = vec![KeyValue::new("k", "x".repeat(500))];
        span
    });
    store.append(spans.collect()).await.unwrap();
    store.close().await;
    drop(store);

    // The header and the schema stay; all pages behind them are damaged.
    let path = dir.path().join("traces.db");
    let file = Connection::open(&path).unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(file);
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 100_000);
    bytes[4096 * 3..].fill(0xee);
    fs::write(&path, bytes).unwrap();

    let store = Store::open(dir.path()).unwrap();
    let result = store.after(0, 1000).await;
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    let result = store.append(vec![root(2, 1, 1)]).await;
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let result = Store::open(&file.join("below"));
    assert!(matches!(result, Err(StoreError::Directory(_))), "{result:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn directory_and_files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let store = Store::open(&dir).unwrap();
    store.append(vec![root(1, 1, 1)]).await.unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.clone()), 0o700);
    for file in ["traces.db", "traces.db-wal"] {
        assert_eq!(mode(dir.join(file)), 0o600, "{file}");
    }
}
