//! The errors of the store.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// An error of the store. An append that fails stores nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The queue is full, or another process has locked the file. A later attempt may succeed.
    #[error("the store is busy")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The file is damaged, or is not a file of the store.
    #[error("the store's file is damaged: {0}")]
    Corrupt(String),
    /// The file was created by a later version of this program.
    #[error(
        "{} has format version {found}, and this program reads versions up to {supported}: start the version of the program \
         that created the file, or move the file away, and a new one is created",
        .file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// The version of the file.
        found: i64,
        /// The newest version that can be read.
        supported: i64,
    },
    /// The file was created by an earlier version of this program, and it is opened for reading only.
    #[error(
        "{} has format version {found}, and this program reads version {supported}: start the server once, which upgrades the \
         file",
        .file.display()
    )]
    OlderFormat {
        /// The file.
        file: PathBuf,
        /// The version of the file.
        found: i64,
        /// The version that can be read.
        supported: i64,
    },
    /// The file has a format from before the first release.
    #[error(
        "{} has a format from before the first release, and this program reads versions up to {supported}: move the file \
         away, and a new one is created",
        .file.display()
    )]
    UnreleasedFormat {
        /// The file.
        file: PathBuf,
        /// The newest version that can be read.
        supported: i64,
    },
    /// The file has blocks of spans compressed with a dictionary that this program does not have.
    #[error(
        "{} has spans that are compressed with dictionary {found:08x}, and this program has {supported:08x}: start the version \
         of the program that created the file, or move the file away, and a new one is created",
        .file.display()
    )]
    UnknownDictionary {
        /// The file.
        file: PathBuf,
        /// The dictionary of the file.
        found: u32,
        /// The dictionary that this program has.
        supported: u32,
    },
    /// A block of spans was written by a later version of this program.
    #[error(
        "{file} has a block of spans of format version {found}, and this program reads versions up to {supported}: start the \
         version of the program that wrote it"
    )]
    NewerBlock {
        /// The name of the file.
        file: &'static str,
        /// The version of the block.
        found: u8,
        /// The newest version that can be read.
        supported: u8,
    },
    /// The directory or the file cannot be created, or does not exist.
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
            // An error without an SQLite code is a column with an unexpected type or value.
            None => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt(error.to_string()),
                error => Self::Sqlite(Box::new(error)),
            },
        }
    }
}
