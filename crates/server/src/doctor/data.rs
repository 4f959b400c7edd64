//! The data directory.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use throughline_self_check::Finding;
use throughline_store::inspect;

use crate::pipeline::LOCK_FILE;

const CHECK: &str = "data";

/// Whether data can be kept there. Nothing is made, and no file is opened for writing.
pub(super) fn check(data_dir: &Path) -> Finding {
    let shown = data_dir.display();
    if !data_dir.exists() {
        return match writable_ancestor(data_dir) {
            true => Finding::good(CHECK, format!("`{shown}` will be made at the first start")),
            false => Finding::bad(
                CHECK,
                format!("`{shown}` is not there and cannot be made"),
                "choose another with --data-dir, or give its parent to this user",
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
                "choose a directory on a local disk: some network file systems have no locks",
            );
        }
    }
    if !may_be_written(data_dir) {
        return Finding::bad(
            CHECK,
            format!("`{shown}` cannot be written"),
            "choose another with --data-dir, or give it to this user",
        );
    }
    match inspect(data_dir) {
        Ok(_) => Finding::good(CHECK, format!("`{shown}` can be written, and its files can be opened")),
        Err(error) => Finding::bad(
            CHECK,
            format!("the files in `{shown}` cannot be opened: {error}"),
            "restore a backup, or move the file away: a new one is made at the next start",
        ),
    }
}

/// Whether a running server has the lock. Before the first start there is none.
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

/// Whether the nearest directory above that is there can be written.
fn writable_ancestor(path: &Path) -> bool {
    let Ok(absolute) = std::path::absolute(path) else { return false };
    absolute.ancestors().find(|ancestor| ancestor.exists()).is_some_and(may_be_written)
}

/// Whether a directory can be written, as far as its permissions say.
fn may_be_written(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| metadata.is_dir() && !metadata.permissions().readonly())
}
