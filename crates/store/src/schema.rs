//! The file: where it is, what is in it, and whether it is ours.

use std::{fs, io, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use crate::{StoreError, migrate};

type Step = fn(&Connection) -> Result<(), StoreError>;

/// What each version adds to the one before it. A file has as many of them as its `user_version` says.
const STEPS: [Step; 3] = [
    |connection| Ok(connection.execute_batch(SPANS)?),
    |connection| Ok(connection.execute_batch(LOGS)?),
    migrate::blocks,
];
/// The version that this program writes.
const VERSION: i64 = STEPS.len() as i64;
/// The first version that has given its free pages back since it was made.
const VERSION_OF_BLOCKS: usize = 3;
/// `THLN`, in `application_id`: what tells a store from any other `SQLite` file.
const APPLICATION_ID: i64 = 0x5448_4c4e;
/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// After how many pages the writer itself writes the log back into the file: only where nobody else has come to it.
const CHECKPOINT_PAGES: i64 = 65_536;

// The first version: a row for each span, `body` a protobuf `Span` without its resource and scope.
pub(crate) const SPANS: &str = "
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

// `logs.seq` is the order of commits, as of spans. A log record has no id, so `key` tells what came before from what is
// new. `time_ns` is when it happened or was noticed; `body` is a protobuf `LogRecord`; `is_error` is 1 where its severity is
// ERROR or worse.
pub(crate) const LOGS: &str = "
CREATE TABLE logs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    trace_id BLOB,
    time_ns INTEGER NOT NULL,
    resource_id INTEGER NOT NULL REFERENCES resources (id),
    body BLOB NOT NULL,
    is_error INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX logs_by_trace ON logs (trace_id, time_ns, seq) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_of_errors ON logs (trace_id) WHERE is_error = 1 AND trace_id IS NOT NULL;

ALTER TABLE totals ADD COLUMN logs INTEGER NOT NULL DEFAULT 0;
";

// The names, services, users and routes of traces; `age` says until when they are needed, see `terms`. `terms_text` finds
// them by parts of them, see `search`.
pub(crate) const TERMS: &str = "
CREATE TABLE terms (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    age INTEGER NOT NULL
) STRICT;

CREATE VIRTUAL TABLE terms_text USING fts5(
    text, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1'
);
";

// Spans lie in blocks, in the order of commits: the first and the last place of a block are its own. Traces have numbers in
// the order in which they were first met, so that what is written about new ones lies together. `about` is a `Fold`
// without what has a column. `stored_s` is when it came in, Unix seconds; `span_seq` the last place that was given away;
// `lost` what went before a sink had it.
pub(crate) const BLOCKS: &str = "
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

CREATE INDEX logs_by_resource ON logs (resource_id);

ALTER TABLE totals ADD COLUMN span_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE logs ADD COLUMN stored_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sinks ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
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

/// Opens the file for writing, and brings its schema up to this version.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Whose file it is comes first: nothing is changed in one that is not ours.
    let version = version(&connection)?;
    if version == 0 {
        // Only before the first table; free pages can then be given back in small steps.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
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
    if version < STEPS.len() {
        upgrade(&mut connection)?;
    }
    if (1..VERSION_OF_BLOCKS).contains(&version) {
        give_back(&connection);
    }
    check_length(&connection, file)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
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

/// Whether it can be read as it is.
pub(crate) fn check_version(connection: &Connection) -> Result<(), StoreError> {
    match version(connection)? {
        0 => Err(StoreError::Corrupt("there is nothing in it".to_owned())),
        found if found < STEPS.len() => Err(StoreError::OlderSchema { found: found as i64, supported: VERSION }),
        _ => Ok(()),
    }
}

/// All steps or none: what fails half way leaves the file as it was.
fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    for step in &STEPS[version(&transaction)?..] {
        step(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Makes the file as small as what is in it. It is only large if that fails.
fn give_back(connection: &Connection) {
    if let Err(error) = connection.execute_batch("PRAGMA auto_vacuum = incremental; VACUUM;") {
        tracing::warn!(%error, "the store's file keeps the size that it had before the upgrade");
    }
}

/// Whether the file ends too early: a copy that broke off, or a disk that lost something.
fn check_length(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    // Only when the log is in the file does the file have all pages that there are.
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let expected = pragma("page_count")? * pragma("page_size")?;
    let found = fs::metadata(file).map_err(StoreError::Directory)?.len();
    if !is_busy && found < expected {
        return Err(StoreError::Corrupt(format!("it has {found} bytes of {expected}")));
    }
    Ok(())
}

/// How many of the steps the file has, none if there is nothing in it yet; an error if there is something that is not
/// ours, or not yet known.
fn version(connection: &Connection) -> Result<usize, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application_id, found) = (pragma("application_id")?, pragma("user_version")?);
    if application_id == APPLICATION_ID {
        if found > VERSION {
            return Err(StoreError::NewerSchema { found, supported: VERSION });
        }
        let steps = usize::try_from(found).ok().filter(|steps| *steps > 0);
        return steps.ok_or_else(|| StoreError::Corrupt(format!("it has schema version {found}, which never was")));
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == 0 && found == 0 && objects == 0 {
        Ok(0)
    } else {
        Err(StoreError::Corrupt("it is a database, but of another program".to_owned()))
    }
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

    #[test]
    fn a_version_that_never_was_is_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("traces.db")).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        let result = Store::open(dir.path());
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    }
}
