//! A store as it lies there, read without being opened for writing: to be copied or taken elsewhere. A server may have it open
//! meanwhile.

use std::path::Path;

use rusqlite::{Connection, backup::Backup};
use throughline_otlp::{LogRecord, Span};

use crate::{Counts, StoreError, read, schema, sqlite::FILE};

/// How many pages are copied between two looks at how far it is.
const PAGES_AT_ONCE: i32 = 256;

/// A store's file, as it was when this was opened: what comes in meanwhile is not seen. It blocks, and is for programs that do
/// nothing else.
#[derive(Debug)]
pub struct Archive {
    connection: Connection,
}

impl Archive {
    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Directory`] if there is none, [`StoreError::OlderSchema`] if it was not yet brought up to date,
    /// [`StoreError::NewerSchema`], [`StoreError::Corrupt`], or the database's.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let connection = open(dir)?;
        schema::check_version(&connection)?;
        Ok(Self { connection })
    }

    /// How much there is.
    ///
    /// # Errors
    /// The database's.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        read::counts(&self.connection)
    }

    /// Spans beyond a place, as [`SpanStore::after`](crate::SpanStore::after) gives them.
    ///
    /// # Errors
    /// The database's.
    pub fn after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, Span)>, StoreError> {
        read::after(&self.connection, cursor, limit)
    }

    /// Log records beyond a place, likewise.
    ///
    /// # Errors
    /// The database's.
    pub fn logs_after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, LogRecord)>, StoreError> {
        read::logs_after(&self.connection, cursor, limit)
    }
}

/// Copies the store in `dir` into the file `to`, which must be new or empty, as it is at this moment; a server that writes to it
/// goes on. `progress` is told how many pages of how many are there. The copy is one file that is a store of its own, under the
/// name `traces.db` in another directory.
///
/// # Errors
/// [`StoreError::Directory`] if there is no store, [`StoreError::Full`], [`StoreError::Corrupt`], or the database's.
pub fn backup(dir: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    let source = open(dir)?;
    let mut copy = Connection::open(to)?;
    {
        let backup = Backup::new(&source, &mut copy)?;
        loop {
            let step = backup.step(PAGES_AT_ONCE)?;
            let state = backup.progress();
            let total = u64::try_from(state.pagecount).unwrap_or_default();
            progress(total.saturating_sub(u64::try_from(state.remaining).unwrap_or_default()), total);
            match step {
                rusqlite::backup::StepResult::Done => break,
                rusqlite::backup::StepResult::More => {}
                _ => return Err(StoreError::Busy),
            }
        }
    }
    // A file by itself: without a log beside it.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0))?;
    copy.close().map_err(|(_, error)| error.into())
}

/// Opens the file for reading, and holds on to what is in it now.
fn open(dir: &Path) -> Result<Connection, StoreError> {
    let file = dir.join(FILE);
    std::fs::metadata(&file).map_err(StoreError::Directory)?;
    let connection = schema::open_reader(&file)?;
    // Within one transaction all reads see the same, and a copy need not begin anew when somebody writes.
    connection.execute_batch("BEGIN")?;
    let _: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(connection)
}
