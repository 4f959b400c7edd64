//! Reads a store without opening it for writing, to export it. A server may have it open at the same time.

use std::path::Path;

use rusqlite::Connection;
use throughline_otlp::{LogRecord, Span};

use crate::{Counts, StoreError, read, schema, sqlite::FILE};

/// A read-only snapshot of a store, for command-line programs: all methods block.
///
/// Records that are stored after the snapshot was opened are not visible.
#[derive(Debug)]
pub struct Archive {
    connection: Connection,
}

impl Archive {
    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Directory`] if there is no store, [`StoreError::OlderFormat`] if its file was not upgraded yet,
    /// [`StoreError::NewerFormat`] or the error of another unsupported format, [`StoreError::Corrupt`], or an error of the
    /// database.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        let connection = open_still(&file)?;
        schema::check(&connection, &file)?;
        Ok(Self { connection })
    }

    /// Returns the number of stored records.
    ///
    /// # Errors
    /// An error of the database.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        read::counts(&self.connection)
    }

    /// Returns the spans after a position, as [`SpanStore::after`](crate::SpanStore::after) does.
    ///
    /// # Errors
    /// An error of the database.
    pub fn after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, Span)>, StoreError> {
        read::after(&self.connection, cursor, limit)
    }

    /// Returns the log records after a position, as [`SpanStore::logs_after`](crate::SpanStore::logs_after) does.
    ///
    /// # Errors
    /// An error of the database.
    pub fn logs_after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, LogRecord)>, StoreError> {
        read::logs_after(&self.connection, cursor, limit)
    }
}

/// Opens the file for reading, with a snapshot of its current content.
pub(crate) fn open_still(file: &Path) -> Result<Connection, StoreError> {
    std::fs::metadata(file).map_err(StoreError::Directory)?;
    let connection = schema::open_reader(file)?;
    // Within one transaction all reads see the same snapshot, and a backup does not restart when another process writes.
    connection.execute_batch("BEGIN")?;
    let _: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(connection)
}
