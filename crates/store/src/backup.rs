//! Copies all files of a data directory while a server uses them.

use std::path::Path;

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use crate::{StoreError, archive::open_still, metrics, outbox, schema, sqlite};

/// The number of pages that are copied between two reports of progress.
const PAGES_AT_ONCE: i32 = 256;

/// Copies the store in `dir`, the outbox and the metrics into the directory `to`, which must exist and contain none of these
/// files. A server may keep writing to `dir`. `progress` is called with the number of copied pages and the total number of pages.
/// The copy is a snapshot taken when the backup starts: in a server that starts with it, each sink resumes at the cursor it had
/// then, so records that were sent later are sent again.
///
/// # Errors
/// [`StoreError::Directory`] if there is no store, or `to` cannot be written; [`StoreError::Full`], [`StoreError::Corrupt`], or
/// an error of the database.
pub fn backup(dir: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    // A snapshot does not change once it is opened. The store with its cursors comes first, so that the copied outbox has the
    // decision on every trace that a sink has passed on, and no trace is decided again.
    let mut sources = vec![(sqlite::FILE, open_still(&dir.join(sqlite::FILE))?)];
    for file in [outbox::FILE, metrics::FILE] {
        let path = dir.join(file);
        // Without a server only the store exists.
        if path.exists() {
            sources.push((file, open_still(&path)?));
        }
    }
    let mut total = 0;
    for (_, source) in &sources {
        total += source.pragma_query_value(None, "page_count", |row| row.get::<_, u64>(0))?;
    }
    let mut before = 0;
    for (file, source) in &sources {
        let target = to.join(file);
        schema::make_file(to, &target).map_err(StoreError::Directory)?;
        before += copy(source, &target, |pages| progress(before + pages, total))?;
    }
    Ok(())
}

/// Copies a database into a single file without a write-ahead log. Returns its number of pages.
fn copy(source: &Connection, target: &Path, mut progress: impl FnMut(u64)) -> Result<u64, StoreError> {
    let mut copy = Connection::open(target)?;
    let pages = {
        let backup = Backup::new(source, &mut copy)?;
        loop {
            let step = backup.step(PAGES_AT_ONCE)?;
            let state = backup.progress();
            let count = |pages| u64::try_from(pages).expect("a number of pages is not negative");
            let pages = count(state.pagecount);
            progress(pages.saturating_sub(count(state.remaining)));
            match step {
                StepResult::Done => break pages,
                StepResult::More => {}
                _ => return Err(StoreError::Busy),
            }
        }
    };
    copy.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0))?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(pages)
}
