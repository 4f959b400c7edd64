//! The schema of `traces.db`, and how its connections are opened and checked.

use std::{fs, io, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{
    StoreError, block,
    format::{Format, named},
    sqlite::FILE,
};

/// The format of `traces.db`.
pub(crate) const FORMAT: Format = Format::new(FILE, b"TLtr", b"THLN", &[TABLES]);
/// How long to wait for another process that holds the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of pages after which the writer itself checkpoints the log: far more than the checkpoint thread leaves.
const CHECKPOINT_PAGES: i64 = 65_536;

// Spans are stored in blocks, in commit order; `first_seq` and `last_seq` are the positions of the first and last span of a block.
// `dictionaries` has the id of each dictionary that a block was ever compressed with. Traces are numbered in the order in which
// they first occur, so that the rows of new traces are adjacent. `about` is a `Fold` without the fields that have a column.
// `stored_s` is the time of the commit, in Unix seconds.
//
// `terms` has the names, services, users and routes of traces; `age` is the age of the newest trace that uses the text, see
// `terms.rs`. `terms_text` is the index for substring search, see `search.rs`.
//
// `logs.seq` is the commit order of log records. A log record has no id, so `key` is a hash of its content, to find duplicates.
// `time_ns` is when it occurred or was observed; `is_error` is 1 if its severity is ERROR or higher; `body` is a protobuf
// `LogRecord` without its resource and scope.
//
// `span_seq` is the position of the newest span; `lost` counts the records that were deleted before the sink had delivered them.
pub(crate) const TABLES: &str = "
CREATE TABLE dictionaries (
    id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE blocks (
    last_seq INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    stored_s INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE traces (
    no INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL UNIQUE,
    start_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    span_count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    about BLOB NOT NULL
) STRICT;
CREATE INDEX traces_by_start ON traces (start_ns, trace_id);

CREATE TABLE trace_blocks (
    trace_no INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (trace_no, last_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE terms (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    age INTEGER NOT NULL
) STRICT;

CREATE VIRTUAL TABLE terms_text USING fts5(
    text, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1'
);

CREATE TABLE resources (
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE logs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    trace_id BLOB,
    time_ns INTEGER NOT NULL,
    resource_id INTEGER NOT NULL REFERENCES resources (id),
    stored_s INTEGER NOT NULL,
    is_error INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX logs_by_trace ON logs (trace_id, time_ns, seq) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_of_errors ON logs (trace_id) WHERE is_error = 1 AND trace_id IS NOT NULL;
CREATE INDEX logs_by_resource ON logs (resource_id);

CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    spans INTEGER NOT NULL,
    traces INTEGER NOT NULL,
    logs INTEGER NOT NULL,
    span_seq INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (0, 0, 0, 0);
";

/// Creates the directory and the file if they do not exist, both accessible only by the owner.
pub(crate) fn make_file(dir: &Path, file: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        builder.mode(0o700);
        options.mode(0o600);
    }
    builder.create(dir)?;
    options.open(file)?;
    Ok(())
}

/// Opens the file for writing, and upgrades it to the current version.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(named(file))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A file of another program must not be changed, so the format is checked first.
    if FORMAT.found(&connection, file)? == 0 {
        // It can only be set before the first table is created. Free pages can then be returned in small steps.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    } else {
        check_dictionaries(&connection, file)?;
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Sqlite(format!("the journal is {mode}, not wal").into()));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    guard(&connection)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    FORMAT.upgrade(&mut connection, file, |connection| {
        connection.execute("INSERT INTO dictionaries (id) VALUES (?1)", [block::dictionary_id()])?;
        Ok(())
    })?;
    check_length(&connection, file)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Checks that this program has the dictionaries of all blocks.
pub(crate) fn check_dictionaries(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let mut select = connection.prepare("SELECT id FROM dictionaries").map_err(named(file))?;
    let ids: Vec<u32> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>().map_err(named(file))?;
    match ids.into_iter().find(|id| !block::is_known_dictionary(*id)) {
        Some(found) => {
            Err(StoreError::UnknownDictionary { file: file.to_owned(), found, supported: block::dictionary_id() })
        }
        None => Ok(()),
    }
}

/// Opens the file for checkpoints only.
pub(crate) fn open_checkpointer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.pragma_update(None, "synchronous", "full")?;
    guard(&connection)?;
    Ok(connection)
}

/// Sets the options of every connection: the schema of a file cannot run functions with side effects, and query plans are stable.
/// Without stable plans, SQLite prepares a statement again, which takes several microseconds, each time a value is bound to its
/// `LIMIT`.
pub(crate) fn guard(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Opens the file for reading.
pub(crate) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    guard(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Checks that the file can be read without an upgrade.
pub(crate) fn check(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    FORMAT.check(connection, file)?;
    check_dictionaries(connection, file)
}

/// Checks that the file is not truncated, as by an interrupted copy or a disk failure.
fn check_length(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    // The file has all its pages only after a complete checkpoint.
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let expected = pragma("page_count")? * pragma("page_size")?;
    let found = fs::metadata(file).map_err(StoreError::Directory)?.len();
    if !is_busy && found < expected {
        return Err(StoreError::Corrupt(format!("{} has only {found} of {expected} bytes", file.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::Store;

    #[test]
    fn binding_a_limit_does_not_prepare_the_statement_again() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let file = dir.path().join("traces.db");
        for connection in [open_writer(&file).unwrap(), open_checkpointer(&file).unwrap(), open_reader(&file).unwrap()]
        {
            let mut select = connection.prepare("SELECT seq FROM logs WHERE seq > ?1 ORDER BY seq LIMIT ?2").unwrap();
            for limit in 1..4 {
                assert!(!select.exists([0, limit]).unwrap());
            }
            assert_eq!(select.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
