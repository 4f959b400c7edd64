//! The file: where it is, what is in it, and whether it is ours.

use std::{fs, io, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::StoreError;

/// What each version adds to the one before it. A file has as many of them as its `user_version` says.
const STEPS: [&str; 2] = [SPANS, LOGS];
/// The version that this program writes.
const VERSION: i64 = STEPS.len() as i64;
/// `THLN`, in `application_id`: what tells a store from any other `SQLite` file.
const APPLICATION_ID: i64 = 0x5448_4c4e;
/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

// `spans.seq` is the order of commits: one writer, and AUTOINCREMENT never gives a number twice. `body` is a protobuf
// `Span` without its resource and scope, which are shared. Names, services and users are also terms, in lower case,
// so that a search for text looks at a dictionary instead of at every span.
const SPANS: &str = "
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
// new. `time_ns` is when it happened or was noticed; `body` is a protobuf `LogRecord`.
const LOGS: &str = "
CREATE TABLE logs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    trace_id BLOB,
    time_ns INTEGER NOT NULL,
    resource_id INTEGER NOT NULL REFERENCES resources (id),
    body BLOB NOT NULL
) STRICT;
CREATE INDEX logs_by_trace ON logs (trace_id, time_ns, seq) WHERE trace_id IS NOT NULL;

ALTER TABLE totals ADD COLUMN logs INTEGER NOT NULL DEFAULT 0;
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
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Sqlite(format!("the journal is {mode}, not wal").into()));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    if version < STEPS.len() {
        upgrade(&mut connection)?;
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

/// All steps or none: what fails half way leaves the file as it was.
fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    for step in &STEPS[version(&transaction)?..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
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
    use super::*;
    use crate::{SpanStore, Store, append::append};
    use std::{collections::BTreeSet, sync::Arc};
    use throughline_otlp::{
        LogRecord, Span,
        context::{SpanId, TraceId},
    };

    /// A file as version 1 left it, with one span in it.
    fn first_version(dir: &Path, span: &Span) {
        let file = dir.join("traces.db");
        make_file(dir, &file).unwrap();
        let connection = Connection::open(file).unwrap();
        connection.execute_batch(SPANS).unwrap();
        append(&connection, std::slice::from_ref(span), &mut BTreeSet::new()).unwrap();
        connection.execute("INSERT INTO sinks VALUES ('honeycomb', 1)", []).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
    }

    #[tokio::test]
    async fn a_file_of_the_first_version_keeps_what_it_has_and_takes_log_records() {
        let dir = tempfile::tempdir().unwrap();
        let trace_id = TraceId::from_bytes([1; 16]).unwrap();
        let span = Span::new(trace_id, SpanId::from_bytes([2; 8]).unwrap(), Arc::default(), Arc::default());
        first_version(dir.path(), &span);
        // The second time there is nothing to do.
        for round in 0..2 {
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(store.trace(trace_id).await.unwrap(), std::slice::from_ref(&span));
            assert_eq!(store.cursor("honeycomb").await.unwrap(), 1);
            let mut record = LogRecord::new(Arc::default(), Arc::default());
            record.trace_id = Some(trace_id);
            assert_eq!(store.append_logs(vec![record.clone()]).await.unwrap().duplicates, round);
            assert_eq!(store.trace_logs(trace_id).await.unwrap(), [record]);
            let counts = store.counts().await.unwrap();
            assert_eq!((counts.spans, counts.traces, counts.log_records), (1, 1, 1));
            store.close().await;
        }
    }

    #[test]
    fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let trace_id = TraceId::from_bytes([1; 16]).unwrap();
        let span = Span::new(trace_id, SpanId::from_bytes([2; 8]).unwrap(), Arc::default(), Arc::default());
        first_version(dir.path(), &span);
        let file = dir.path().join("traces.db");
        // The last statement of the step has no table to work on.
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("ALTER TABLE totals RENAME TO sums").unwrap();
        assert!(Store::open(dir.path()).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        connection.execute_batch("ALTER TABLE sums RENAME TO totals").unwrap();
        drop(connection);
        assert!(Store::open(dir.path()).is_ok(), "nothing of the step was left behind");
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
