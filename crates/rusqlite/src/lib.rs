#![doc = include_str!("../README.md")]

use opentelemetry::trace::Status;
use opentelemetry_semantic_conventions::attribute;
use rusqlite::{Connection, Params, Result, Row};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// An SQL statement, with the names for its span. Its text is a constant of the program, so it never contains user
/// data.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    operation: &'static str,
    collection: &'static str,
    sql: &'static str,
}

impl Statement {
    /// Creates a statement. `operation` is the first word of `sql`, such as `SELECT`; `collection` is the main table.
    /// Values must be placeholders (`?1`) in `sql`.
    #[must_use]
    pub const fn new(operation: &'static str, collection: &'static str, sql: &'static str) -> Self {
        Self { operation, collection, sql }
    }
}

/// A connection, or a transaction, that creates a span for each statement.
#[derive(Clone, Copy, Debug)]
pub struct TracedConnection<'c> {
    connection: &'c Connection,
    namespace: &'static str,
}

impl<'c> TracedConnection<'c> {
    /// Wraps a connection. `namespace` is the name of the database in spans (`db.namespace`).
    #[must_use]
    pub const fn new(connection: &'c Connection, namespace: &'static str) -> Self {
        Self { connection, namespace }
    }

    /// Returns the connection itself, whose statements are not traced.
    #[must_use]
    pub const fn untraced(&self) -> &'c Connection {
        self.connection
    }

    /// Runs a query and returns all rows, each as read by `row`. Their number is recorded on the span.
    ///
    /// # Errors
    /// Returns the errors of SQLite and of `row`.
    pub fn query<T>(
        &self,
        statement: Statement,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.in_span(statement, |span| {
            let mut prepared = self.connection.prepare_cached(statement.sql)?;
            let rows = prepared.query_map(params, row)?.collect::<Result<Vec<_>>>()?;
            set_rows(span, rows.len());
            Ok(rows)
        })
    }

    /// Runs a statement and returns the number of changed rows. It is recorded as `db.response.returned_rows`, because
    /// the semantic conventions have no attribute for changed rows.
    ///
    /// # Errors
    /// Returns the errors of SQLite.
    pub fn execute(&self, statement: Statement, params: impl Params) -> Result<usize> {
        self.in_span(statement, |span| {
            let changed = self.connection.prepare_cached(statement.sql)?.execute(params)?;
            set_rows(span, changed);
            Ok(changed)
        })
    }

    fn in_span<T>(&self, statement: Statement, work: impl FnOnce(&Span) -> Result<T>) -> Result<T> {
        let Statement { operation, collection, sql } = statement;
        let summary = [operation, " ", collection].concat();
        let span = tracing::info_span!(target: "throughline::db", "db", otel.name = summary, otel.kind = "client");
        span.set_attribute(attribute::DB_SYSTEM_NAME, "sqlite");
        span.set_attribute(attribute::DB_NAMESPACE, self.namespace);
        span.set_attribute(attribute::DB_OPERATION_NAME, operation);
        span.set_attribute(attribute::DB_COLLECTION_NAME, collection);
        span.set_attribute(attribute::DB_QUERY_SUMMARY, summary);
        span.set_attribute(attribute::DB_QUERY_TEXT, sql);
        let _entered = span.enter();
        work(&span).inspect_err(|error| on_error(&span, error))
    }
}

fn set_rows(span: &Span, rows: usize) {
    span.set_attribute(attribute::DB_RESPONSE_RETURNED_ROWS, i64::try_from(rows).unwrap_or(i64::MAX));
}

fn on_error(span: &Span, error: &rusqlite::Error) {
    match error.sqlite_error() {
        Some(sqlite) => {
            // The extended code identifies the constraint; the primary code has few values, as an error type should.
            span.set_attribute(attribute::DB_RESPONSE_STATUS_CODE, sqlite.extended_code.to_string());
            span.set_attribute(attribute::ERROR_TYPE, format!("{:?}", sqlite.code));
        }
        None => span.set_attribute(attribute::ERROR_TYPE, "_OTHER"),
    }
    span.set_status(Status::error(error.to_string()));
}
