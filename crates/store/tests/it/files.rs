//! Tests of damaged files and files of other programs.

use std::fs;

use crate::support::{noise, root, store, trace_id};
use rusqlite::Connection;
use throughline_otlp::KeyValue;
use throughline_store::{SpanStore, Store, StoreError};

#[test]
fn a_file_of_garbage_is_rejected_and_not_changed() {
    for garbage in [&b"not a database"[..], &[0xa5; 10_000]] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("traces.db");
        fs::write(&file, garbage).unwrap();
        let result = Store::open(dir.path());
        assert!(matches!(&result, Err(StoreError::Corrupt(_))), "{result:?}");
        let error = result.unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
        assert_eq!(fs::read(&file).unwrap(), garbage);
    }
}

#[test]
fn a_database_of_another_program_is_rejected() {
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

/// Creates a closed store with many pages of spans in one file.
async fn large_file() -> tempfile::TempDir {
    let (dir, store) = store();
    for number in 1..=20 {
        let mut span = root(number, 1, 1);
        span.attributes = vec![KeyValue::new("k", noise(100_000))];
        store.append(vec![span]).await.unwrap();
    }
    store.close().await;
    dir
}

#[tokio::test]
async fn damage_in_the_middle_is_found_on_read_and_the_rest_is_readable() {
    let dir = large_file().await;
    let path = dir.path().join("traces.db");
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 1_000_000);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0xee);
    fs::write(&path, bytes).unwrap();

    let store = Store::open(dir.path()).unwrap();
    let mut damaged = 0;
    for number in 1..=20 {
        match store.trace(trace_id(number)).await {
            Ok(spans) => assert_eq!(spans.len(), 1),
            Err(StoreError::Corrupt(_)) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..=2).contains(&damaged), "{damaged} traces are damaged");
    // New spans are stored: the writer does not read the damaged pages.
    assert_eq!(store.append(vec![root(30, 1, 1)]).await.unwrap().stored, 1);
    assert_eq!(store.trace(trace_id(30)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_truncated_file_is_rejected() {
    let dir = large_file().await;
    let path = dir.path().join("traces.db");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let result = Store::open(dir.path());
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    assert_eq!(fs::read(&path).unwrap().len(), bytes.len() / 2, "the file does not change");
}

#[test]
fn a_directory_that_cannot_be_created_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let result = Store::open(&file.join("below"));
    assert!(matches!(result, Err(StoreError::Directory(_))), "{result:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn directory_and_files_are_accessible_only_by_the_owner() {
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
