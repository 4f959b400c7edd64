//! Tests that an inspection reads a data directory without changing it.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path, time::SystemTime};

use crate::support::{record, root, store};
use throughline_store::{Metrics, Outbox, SpanStore as _, Store, StoreError, inspect};

/// Returns the content and the modification time of each file, and the modification time of the directory.
fn state(dir: &Path) -> (BTreeMap<OsString, (Vec<u8>, SystemTime)>, SystemTime) {
    let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = files.map(|file| (file.file_name(), (fs::read(file.path()).unwrap(), changed(&file.path()))));
    (files.collect(), changed(dir))
}

/// Returns the status change time (ctime) of each file, in seconds and nanoseconds.
#[cfg(unix)]
fn changed(dir: &Path) -> Vec<(i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap());
    files.map(|metadata| (metadata.ctime(), metadata.ctime_nsec())).collect()
}

/// Copies files while a store has them open.
fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_missing_directory_is_not_created() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    assert!(matches!(inspect(&dir), Err(StoreError::Directory(_))));
    assert!(!dir.exists());
    // In an empty directory, no file is created.
    let inspection = inspect(parent.path()).unwrap();
    assert_eq!((inspection.traces, inspection.outbox, inspection.metrics, inspection.counts), (None, None, None, None));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn closed_files_are_read_and_do_not_change() {
    // The name has characters with a meaning in a URI.
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("what? 100% #data");
    let store = Store::open(&dir).unwrap();
    store.append(vec![root(1, 1, 1), root(2, 1, 1)]).await.unwrap();
    store.append_logs(vec![record(1, 1, 1)]).await.unwrap();
    store.close().await;
    drop((store, Outbox::open(&dir).unwrap(), Metrics::open(&dir).unwrap()));
    let before = state(&dir);
    assert_eq!(before.0.len(), 3);
    let inspection = inspect(&dir).unwrap();
    assert_eq!(state(&dir), before);
    let counts = inspection.counts.unwrap();
    assert_eq!((counts.spans, counts.traces, counts.log_records), (2, 2, 1));
    for (file, name, version) in [
        (inspection.traces, "traces.db", 1),
        (inspection.outbox, "outbox.db", 2),
        (inspection.metrics, "metrics.db", 1),
    ] {
        let length = fs::metadata(dir.join(name)).unwrap().len();
        assert_eq!(file.map(|file| (file.version, file.bytes)), Some((version, length)), "{name}");
    }
}

/// The files are as after a kill of the server, with and without the `-shm` file.
#[tokio::test]
async fn files_of_a_killed_server_are_read_and_do_not_change() {
    let (dir, store) = store();
    store.append(vec![root(1, 1, 1), root(2, 1, 1)]).await.unwrap();
    for names in [&["traces.db", "traces.db-wal", "traces.db-shm"][..], &["traces.db", "traces.db-wal"]] {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path(), names);
        assert!(fs::metadata(copied.path().join("traces.db-wal")).unwrap().len() > 0);
        let before = state(copied.path());
        #[cfg(unix)]
        let made = changed(copied.path()).into_iter().max().unwrap();
        for _ in 0..2 {
            assert_eq!(inspect(copied.path()).unwrap().counts.unwrap().spans, 2, "{names:?}");
            assert_eq!(state(copied.path()), before, "{names:?}");
            #[cfg(unix)]
            assert!(changed(copied.path()).into_iter().all(|at| at <= made), "a file was opened for writing");
        }
        // The store can still be opened.
        let opened = Store::open(copied.path()).unwrap();
        assert_eq!(opened.counts().await.unwrap().spans, 2);
    }
}

#[tokio::test]
async fn the_log_of_an_open_store_is_read() {
    let (dir, store) = store();
    for number in 1..=5 {
        store.append(vec![root(number, 1, 1)]).await.unwrap();
        let names =
            |dir: &Path| -> Vec<_> { fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name()).collect() };
        let before = names(dir.path());
        assert_eq!(inspect(dir.path()).unwrap().counts.unwrap().spans, u64::from(number));
        assert_eq!(names(dir.path()), before);
    }
    store.close().await;
}

#[tokio::test]
async fn damage_is_reported_with_the_file_name_and_the_file_does_not_change() {
    let (dir, store) = store();
    store.append(vec![root(1, 1, 1)]).await.unwrap();
    store.close().await;
    drop(store);
    let path = dir.path().join("traces.db");
    let whole = fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"not a database", &[0xa5; 10_000]] {
        fs::write(&path, damaged).unwrap();
        let before = state(dir.path());
        let error = inspect(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(state(dir.path()), before);
    }
}

#[test]
fn an_empty_file_has_version_0() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("traces.db"), "").unwrap();
    let before = state(dir.path());
    let traces = inspect(dir.path()).unwrap().traces.unwrap();
    assert_eq!((traces.version, traces.bytes), (0, 0));
    assert_eq!(state(dir.path()), before);
}
