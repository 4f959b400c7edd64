//! What can go wrong, as far as a caller can tell the difference.

use rusqlite::ErrorCode;

/// Why the store did not do what was asked. Nothing of a failed append is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much is queued, or another process holds the file. Later it may work.
    #[error("the store is busy")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The file is damaged, or is something else than a store.
    #[error("the store's file is damaged: {0}")]
    Corrupt(String),
    /// A later version of this program made the file.
    #[error("the store has schema version {found}, newer than {supported}, which this program knows")]
    NewerSchema {
        /// The version of the file.
        found: i64,
        /// The newest version that can be read.
        supported: i64,
    },
    /// An earlier version of this program made the file, and nobody has brought it up to date.
    #[error("the store has schema version {found}; start the server once, which makes it version {supported}")]
    OlderSchema {
        /// The version of the file.
        found: i64,
        /// The version that is read.
        supported: i64,
    },
    /// The directory or the file cannot be made, or is not there.
    #[error("the store's directory cannot be used: {0}")]
    Directory(#[source] std::io::Error),
    /// Any other error of the database.
    #[error("the database failed: {0}")]
    Sqlite(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(_) => Self::Sqlite(Box::new(error)),
            // Without a code of SQLite it is a column that does not hold what was put there.
            None => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt(error.to_string()),
                error => Self::Sqlite(Box::new(error)),
            },
        }
    }
}
