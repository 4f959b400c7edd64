//! The file: where it is, what is in it, and whether it is ours.

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
/// After how many pages the writer itself writes the log back into the file: only where nobody else has come to it.
const CHECKPOINT_PAGES: i64 = 65_536;

// Spans are in blocks, in the order of commits: the first and the last place of a block are its own. `dictionaries` has the
// id of each dictionary that a block was ever compressed with. Traces have numbers in the order in which they were first met, so
// that what is written about new ones lies together. `about` is a `Fold` without what has a column. `stored_s` is when it came
// in, Unix seconds.
//
// `terms` has the names, services, users and routes of traces; `age` says until when they are needed, see `terms`. `terms_text`
// finds them by parts of them, see `search`.
//
// `logs.seq` is the order of commits, as of spans. A log record has no id, so `key` tells what came before from what is
// new. `time_ns` is when it happened or was noticed; `is_error` is 1 where its severity is ERROR or worse; `body` is a protobuf
// `LogRecord` without its resource and scope.
//
// `span_seq` is the last place that was given to a span; `lost` counts what was removed before a sink had it.
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

/// Makes the directory if it is absent, and the file, both for the owner alone.
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

/// Opens the file for writing, and brings it to the current version.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(named(file))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Whose file it is comes first: nothing is changed in one that is not ours.
    if FORMAT.found(&connection, file)? == 0 {
        // Only before the first table; free pages can then be given back in small steps.
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

/// Whether all blocks can be decompressed, as far as their dictionaries say.
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

/// Opens the file for writing the log back into it, and nothing else.
pub(crate) fn open_checkpointer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.pragma_update(None, "synchronous", "full")?;
    guard(&connection)?;
    Ok(connection)
}

/// What every connection has: a file's schema runs nothing of its own, and a statement stays as it was prepared. Without the
/// latter SQLite looks at what is bound to a `LIMIT`, and prepares a statement anew, for several microseconds, each time that is
/// bound.
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

/// Whether the file can be read as it is.
pub(crate) fn check(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    FORMAT.check(connection, file)?;
    check_dictionaries(connection, file)
}

/// Whether the file ends too early: a copy that broke off, or a disk that lost something.
fn check_length(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    // Only when the log is in the file does the file have all pages that there are.
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let expected = pragma("page_count")? * pragma("page_size")?;
    let found = fs::metadata(file).map_err(StoreError::Directory)?.len();
    if !is_busy && found < expected {
        return Err(StoreError::Corrupt(format!("{} has {found} bytes of {expected}", file.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::Store;

    #[test]
    fn a_limit_that_is_bound_prepares_nothing_anew() {
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
