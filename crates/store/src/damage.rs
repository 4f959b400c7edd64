//! What to do with a file that cannot be used.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{append::unix_s, sqlite::FILE};

/// Moves the store's file in `dir`, which cannot be used, out of the way: to `traces.db.damaged-<Unix seconds>` beside it,
/// with its log. Nothing is deleted, and [`Store::open`](crate::Store::open) makes a new one.
///
/// # Errors
/// The file cannot be moved.
pub fn quarantined(dir: &Path) -> io::Result<PathBuf> {
    let name = format!("{FILE}.damaged-{}", unix_s());
    let mut aside = dir.join(&name);
    // Twice within a second is possible.
    for number in 2.. {
        if !aside.exists() {
            break;
        }
        aside = dir.join(format!("{name}-{number}"));
    }
    // First the log: a new file must not find that of another.
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
