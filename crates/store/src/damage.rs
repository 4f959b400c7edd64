//! Moves a damaged file away.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{append::unix_s, sqlite::FILE};

/// Renames the store's damaged file in `dir` to `traces.db.damaged-<Unix seconds>`, with its write-ahead log, and returns the
/// new path. No records are deleted, and [`Store::open`](crate::Store::open) creates a new file.
///
/// # Errors
/// An I/O error if the file cannot be renamed.
pub fn quarantined(dir: &Path) -> io::Result<PathBuf> {
    let name = format!("{FILE}.damaged-{}", unix_s());
    let mut aside = dir.join(&name);
    // The name is taken if this is called twice within a second.
    for number in 2.. {
        if !aside.exists() {
            break;
        }
        aside = dir.join(format!("{name}-{number}"));
    }
    // The log is moved first: a new file must not be opened with the log of the damaged one.
    let log = dir.join(format!("{FILE}-wal"));
    if log.exists() {
        let mut aside_log = aside.clone().into_os_string();
        aside_log.push("-wal");
        fs::rename(log, aside_log)?;
    }
    match fs::remove_file(dir.join(format!("{FILE}-shm"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(dir.join(FILE), &aside)?;
    Ok(aside)
}
