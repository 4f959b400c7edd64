//! A store as it lies there, read without being opened for writing: to be taken elsewhere. A server may have it open
//! meanwhile.

use std::path::Path;

use rusqlite::Connection;
use throughline_otlp::{LogRecord, Span};

use crate::{Counts, StoreError, read, schema, sqlite::FILE};

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
    /// [`StoreError::Directory`] if there is none, [`StoreError::OlderFormat`] if it was not upgraded yet,
    /// [`StoreError::NewerFormat`] or another format that is not read, [`StoreError::Corrupt`], or the database's.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        let connection = open_still(&file)?;
        schema::check(&connection, &file)?;
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

/// Opens the file for reading, and holds on to what is in it now.
pub(crate) fn open_still(file: &Path) -> Result<Connection, StoreError> {
    std::fs::metadata(file).map_err(StoreError::Directory)?;
    let connection = schema::open_reader(file)?;
    // Within one transaction all reads see the same, and a copy need not begin anew when somebody writes.
    connection.execute_batch("BEGIN")?;
    let _: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(connection)
}
