//! Everything that is stored, copied while it is used.

use std::path::Path;

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use crate::{StoreError, archive::open_still, metrics, outbox, schema, sqlite};

/// How many pages are copied between two looks at how far it is.
const PAGES_AT_ONCE: i32 = 256;

/// Copies the store in `dir`, what the outbox remembers, and the metrics, into the directory `to`, which must be there and have
/// none of them; a server that writes to them goes on. `progress` is told how many pages of how many are there. What is in `to`
/// then is as it was at the beginning: a server that starts there has each sink go on where it was. What was sent after the
/// beginning is sent once more.
///
/// # Errors
/// [`StoreError::Directory`] if there is no store, or `to` cannot be written; [`StoreError::Full`], [`StoreError::Corrupt`], or
/// the database's.
pub fn backup(dir: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    // From here on none of them changes. The store with its cursors comes first: so whatever a sink has passed on was decided in
    // the outbox that is copied, and no trace is judged again.
    let mut sources = vec![(sqlite::FILE, open_still(&dir.join(sqlite::FILE))?)];
    for file in [outbox::FILE, metrics::FILE] {
        let path = dir.join(file);
        // Where no server ran there is but a store.
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

/// The file by itself, without a log beside it. How many pages it has.
fn copy(source: &Connection, target: &Path, mut progress: impl FnMut(u64)) -> Result<u64, StoreError> {
    let mut copy = Connection::open(target)?;
    let pages = {
        let backup = Backup::new(source, &mut copy)?;
        loop {
            let step = backup.step(PAGES_AT_ONCE)?;
            let state = backup.progress();
            let count = |pages| u64::try_from(pages).expect("SQLite counts pages from 0");
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
