//! Checks the data directory.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use throughline_self_check::Finding;
use throughline_store::inspect;

use crate::pipeline::LOCK_FILE;

const CHECK: &str = "data";

/// Checks whether a server can use a directory as its data directory. Nothing is created, and no file is opened for writing.
pub(super) fn check(data_dir: &Path) -> Finding {
    let shown = data_dir.display();
    if !data_dir.exists() {
        return match writable_ancestor(data_dir) {
            true => Finding::good(CHECK, format!("`{shown}` will be created at the first start")),
            false => Finding::bad(
                CHECK,
                format!("`{shown}` does not exist and cannot be created"),
                "choose another directory with --data-dir, or make its parent writable for this user",
            ),
        };
    }
    match is_in_use(&data_dir.join(LOCK_FILE)) {
        Ok(true) => return Finding::good(CHECK, format!("`{shown}` is in use by a running server")),
        Ok(false) => {}
        Err(error) => {
            return Finding::bad(
                CHECK,
                format!("`{shown}` cannot be locked: {error}"),
                "choose a directory on a local disk; some network file systems do not support locks",
            );
        }
    }
    if !is_writable(data_dir) {
        return Finding::bad(
            CHECK,
            format!("`{shown}` is not writable"),
            "choose another directory with --data-dir, or make it writable for this user",
        );
    }
    match inspect(data_dir) {
        Ok(_) => Finding::good(CHECK, format!("`{shown}` is writable, and its files can be opened")),
        Err(error) => Finding::bad(
            CHECK,
            format!("the files in `{shown}` cannot be opened: {error}"),
            "restore a backup, or move the file away; an empty one is created at the next start",
        ),
    }
}

/// Returns whether a running server holds the lock. The file does not exist before the first start.
fn is_in_use(lock: &Path) -> io::Result<bool> {
    let lock = match File::open(lock) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Returns whether the nearest existing parent directory is writable.
fn writable_ancestor(path: &Path) -> bool {
    let Ok(absolute) = std::path::absolute(path) else { return false };
    absolute.ancestors().find(|ancestor| ancestor.exists()).is_some_and(is_writable)
}

/// Returns whether this user can create files in a directory, according to `access(2)`.
#[cfg(unix)]
fn is_writable(dir: &Path) -> bool {
    use rustix::fs::{Access, access};

    dir.is_dir() && access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Returns whether a directory is not read-only.
#[cfg(not(unix))]
fn is_writable(dir: &Path) -> bool {
    std::fs::metadata(dir).is_ok_and(|metadata| metadata.is_dir() && !metadata.permissions().readonly())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::PathBuf, time::SystemTime};

    use throughline_self_check::Outcome;
    use throughline_store::Store;

    use super::*;

    /// Returns the content and the modification time of each file, and of the directory itself.
    fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let state = |path: PathBuf| {
            let content = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            (path, (content, changed))
        };
        files.chain([dir.to_path_buf()]).map(state).collect()
    }

    fn check_unchanged(dir: &Path) -> Finding {
        let before = snapshot(dir);
        let finding = check(dir);
        assert!(before == snapshot(dir), "the check changed {}", dir.display());
        finding
    }

    #[test]
    fn a_missing_directory_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("a/data");
        let finding = check(&data_dir);
        assert_eq!(finding.outcome, Outcome::Good, "{finding:?}");
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn an_empty_directory_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check_unchanged(dir.path()).outcome, Outcome::Good);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_store_is_checked_without_changes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.close().await;
        drop(store);
        fs::write(dir.path().join(LOCK_FILE), "").unwrap();
        let finding = check_unchanged(dir.path());
        assert_eq!(finding.outcome, Outcome::Good, "{finding:?}");
    }

    #[test]
    fn a_damaged_store_is_reported_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("traces.db"), "not a database, and longer than the header of one. ".repeat(9))
            .unwrap();
        assert_eq!(check_unchanged(dir.path()).outcome, Outcome::Bad);
    }

    #[test]
    fn a_directory_in_use_is_detected_by_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = File::create(dir.path().join(LOCK_FILE)).unwrap();
        lock.try_lock().unwrap();
        let finding = check_unchanged(dir.path());
        assert!(format!("{finding:?}").contains("in use by a running server"), "{finding:?}");
        drop(lock);
        let finding = check_unchanged(dir.path());
        assert!(!format!("{finding:?}").contains("in use by a running server"), "{finding:?}");
    }
}
