//! The file: where it is, what is in it, and whether it is ours.

use std::{fs, io, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::StoreError;

/// The version that this program writes, in `user_version`.
const VERSION: i64 = 1;
/// `THLN`, in `application_id`: what tells a store from any other `SQLite` file.
const APPLICATION_ID: i64 = 0x5448_4c4e;
/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

// `spans.seq` is the order of commits: one writer, and AUTOINCREMENT never gives a number twice. `body` is a protobuf
// `Span` without its resource and scope, which are shared. Names, services and users are also terms, in lower case,
// so that a search for text looks at a dictionary instead of at every span.
const SCHEMA: &str = "
CREATE TABLE resources (
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE spans (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_span_id BLOB,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    resource_id INTEGER NOT NULL REFERENCES resources (id),
    body BLOB NOT NULL,
    UNIQUE (trace_id, span_id)
) STRICT;

CREATE TABLE traces (
    trace_id BLOB PRIMARY KEY,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    head_is_root INTEGER NOT NULL,
    head_start_ns INTEGER NOT NULL,
    head_end_ns INTEGER NOT NULL,
    head_span_id BLOB NOT NULL,
    head_name TEXT NOT NULL,
    head_service TEXT NOT NULL,
    span_count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    user_start_ns INTEGER,
    user_span_id BLOB,
    user_name TEXT,
    network_ms REAL,
    uplink_ms REAL,
    downlink_ms REAL,
    error_ms REAL,
    server_ms REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_by_start ON traces (start_ns, trace_id);

CREATE TABLE trace_services (
    trace_id BLOB NOT NULL,
    service TEXT NOT NULL,
    first_ns INTEGER NOT NULL,
    PRIMARY KEY (trace_id, service)
) STRICT, WITHOUT ROWID;

CREATE TABLE terms (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE trace_terms (
    trace_id BLOB NOT NULL,
    term_id INTEGER NOT NULL REFERENCES terms (id),
    PRIMARY KEY (trace_id, term_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    spans INTEGER NOT NULL,
    traces INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (0, 0);
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

/// Opens the file for writing, and puts the schema into it if it is new.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Whose file it is comes first: nothing is changed in one that is not ours.
    let is_new = is_new(&connection)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Sqlite(format!("the journal is {mode}, not wal").into()));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    if is_new {
        create(&mut connection)?;
    }
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the file for reading.
pub(crate) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn create(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    if is_new(&transaction)? {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Whether there is nothing in the file yet; an error if there is something that is not ours, or not yet known.
fn is_new(connection: &Connection) -> Result<bool, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application_id, found) = (pragma("application_id")?, pragma("user_version")?);
    if application_id == APPLICATION_ID {
        if found > VERSION {
            return Err(StoreError::NewerSchema { found, supported: VERSION });
        }
        return Ok(false);
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == 0 && found == 0 && objects == 0 {
        Ok(true)
    } else {
        Err(StoreError::Corrupt("it is a database, but of another program".to_owned()))
    }
}
