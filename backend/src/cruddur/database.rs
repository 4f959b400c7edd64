//! SQLite, one span a statement.

use std::{
    fs::OpenOptions,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_semantic_conventions::attribute;
use rusqlite::{Connection, Params, Row, Transaction, TransactionBehavior};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::schema;
use crate::error::ApiError;

/// The name of the database in spans.
const NAMESPACE: &str = "cruddur";

/// Cruddur's data.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    connection: Arc<Mutex<Connection>>,
}

/// One statement, with what its span says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement {
    /// `SELECT`, `INSERT`, …
    pub(super) operation: &'static str,
    /// The main table.
    pub(super) table: &'static str,
    /// The text, with placeholders.
    pub(super) sql: &'static str,
}

impl Database {
    /// Opens or makes `cruddur.db` in `directory`.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("cruddur.db");
        private(&path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        schema::prepare(&mut connection)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Whether it answers.
    pub(crate) async fn is_ready(&self) -> bool {
        self.call(|session| Ok(session.connection.query_row("SELECT 1", [], |_| Ok(()))?)).await.is_ok()
    }

    /// Runs `work` in one transaction, on a thread where it may block, inside the current span. An error leaves no trace in
    /// the data.
    pub(super) async fn call<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Session<'_>) -> Result<T, ApiError> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let span = Span::current();
        let task = tokio::task::spawn_blocking(move || {
            span.in_scope(|| {
                let mut connection = lock(&connection);
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&Session { connection: &transaction })?;
                transaction.commit()?;
                Ok(result)
            })
        });
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only when the server is going down.
                Err(_) => {
                    Err(ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping"))
                }
            },
        }
    }
}

/// Makes the file, if it is not there, for this user alone; SQLite gives its companions the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// A poisoned lock is taken all the same: the transaction of the one that panicked was rolled back.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Session<'c> {
    connection: &'c Transaction<'c>,
}

impl Session<'_> {
    /// All rows of a query.
    pub(super) fn query<T>(
        &self,
        statement: Statement,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        in_span(statement, || {
            let mut prepared = self.connection.prepare_cached(statement.sql)?;
            let rows = prepared.query_map(params, row)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Span::current().set_attribute(attribute::DB_RESPONSE_RETURNED_ROWS, count(rows.len()));
            Ok(rows)
        })
    }

    /// Changes rows; gives how many.
    pub(super) fn execute(&self, statement: Statement, params: impl Params) -> rusqlite::Result<usize> {
        in_span(statement, || {
            let changed = self.connection.prepare_cached(statement.sql)?.execute(params)?;
            // The conventions have no name for affected rows; a change returns those it touched.
            Span::current().set_attribute(attribute::DB_RESPONSE_RETURNED_ROWS, count(changed));
            Ok(changed)
        })
    }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn in_span<T>(statement: Statement, work: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let span = tracing::info_span!(
        target: "throughline::db",
        "db",
        otel.name = format!("{} {}", statement.operation, statement.table),
        otel.kind = "client",
        otel.status_code = Empty,
    );
    span.set_attribute(attribute::DB_SYSTEM_NAME, "sqlite");
    span.set_attribute(attribute::DB_NAMESPACE, NAMESPACE);
    span.set_attribute(attribute::DB_OPERATION_NAME, statement.operation);
    span.set_attribute(attribute::DB_COLLECTION_NAME, statement.table);
    span.set_attribute(attribute::DB_QUERY_TEXT, statement.sql);
    let _entered = span.enter();
    let result = work();
    if let Err(error) = &result {
        let kind = error.sqlite_error_code().map_or_else(|| "_OTHER".to_owned(), |code| format!("{code:?}"));
        span.set_attribute(attribute::ERROR_TYPE, kind);
        span.set_status(opentelemetry::trace::Status::error(error.to_string()));
    }
    result
}
