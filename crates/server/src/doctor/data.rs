//! The data directory.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use throughline_self_check::Finding;
use throughline_store::Store;

use crate::pipeline::LOCK_FILE;

const CHECK: &str = "data";

/// Whether data can be kept there. Of a server that runs nothing is touched.
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
    let lock = match File::options().create(true).append(true).open(data_dir.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) => {
            return Finding::bad(
                CHECK,
                format!("`{shown}` cannot be written: {error}"),
                "choose another with --data-dir, or give it to this user",
            );
        }
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            return Finding::good(CHECK, format!("`{shown}` is in use by a running server"));
        }
        Err(TryLockError::Error(error)) => {
            return Finding::bad(
                CHECK,
                format!("`{shown}` cannot be locked: {error}"),
                "choose a directory on a local disk: some network file systems have no locks",
            );
        }
        Ok(()) => {}
    }
    match Store::open(data_dir) {
        Ok(_) => Finding::good(CHECK, format!("`{shown}` can be written, and its store opens")),
        Err(error) => Finding::bad(
            CHECK,
            format!("the store in `{shown}` cannot be opened: {error}"),
            "restore a backup, or move the file away: a new one is made at the next start",
        ),
    }
}

/// Whether the nearest directory above that is there can be written, as far as its permissions say.
fn writable_ancestor(path: &Path) -> bool {
    let Ok(absolute) = std::path::absolute(path) else { return false };
    absolute
        .ancestors()
        .find_map(|ancestor| fs::metadata(ancestor).ok())
        .is_some_and(|metadata| metadata.is_dir() && !metadata.permissions().readonly())
}
