//! Reading single traces, spans and log records in order, and the small tables.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use throughline_otlp::{
    LogRecord, Record, Resource, Scope, Span,
    context::{SpanId, TraceId},
    decode_record, decode_resource_scope,
};

use crate::{
    Bands, Counts, StoreError,
    fold::{Fold, Head, User, column_ns},
};

/// How many spans of one trace are returned; what lies beyond is left out, latest first.
pub const MAX_TRACE_SPANS: usize = 100_000;
/// How many log records of one trace are returned; what lies beyond is left out, latest first.
pub const MAX_TRACE_LOGS: usize = 10_000;
/// After how many bytes of records, as stored, `after` and `logs_after` stop. The first is returned whatever its size.
pub const MAX_AFTER_BYTES: usize = 8 << 20;

/// The columns of `traces` that [`fold_of`] reads, beginning with `trace_id`.
pub(crate) const FOLD_COLUMNS: &str = "trace_id, start_ns, end_ns, head_is_root, head_start_ns, \
     head_end_ns, head_span_id, head_name, head_service, span_count, error_count, user_start_ns, \
     user_span_id, user_name, network_ms, uplink_ms, downlink_ms, error_ms, server_ms";

/// What is kept in a table of its own, in the order of commits.
pub(crate) trait Stored: Record {
    /// The `resource_id` and `body` of a trace's, by time; of at most as many as the second parameter says.
    const OF_TRACE: &'static str;
    /// How many of one trace are returned.
    const MOST_OF_TRACE: usize;
    /// The `seq`, `resource_id` and `body` of those beyond a place, in order; likewise.
    const AFTER: &'static str;
}

impl Stored for Span {
    const OF_TRACE: &'static str =
        "SELECT resource_id, body FROM spans WHERE trace_id = ?1 ORDER BY start_ns, seq LIMIT ?2";
    const MOST_OF_TRACE: usize = MAX_TRACE_SPANS;
    const AFTER: &'static str = "SELECT seq, resource_id, body FROM spans WHERE seq > ?1 ORDER BY seq LIMIT ?2";
}

impl Stored for LogRecord {
    const OF_TRACE: &'static str =
        "SELECT resource_id, body FROM logs WHERE trace_id = ?1 ORDER BY time_ns, seq LIMIT ?2";
    const MOST_OF_TRACE: usize = MAX_TRACE_LOGS;
    const AFTER: &'static str = "SELECT seq, resource_id, body FROM logs WHERE seq > ?1 ORDER BY seq LIMIT ?2";
}

pub(crate) fn trace<R: Stored>(connection: &Connection, trace_id: TraceId) -> Result<Vec<R>, StoreError> {
    let mut select = connection.prepare_cached(R::OF_TRACE)?;
    let mut rows = select.query(params![trace_id.to_bytes(), R::MOST_OF_TRACE])?;
    let mut resources = Resources::default();
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_blob().map_err(damaged)?;
        records.push(resources.record(connection, row.get(0)?, body)?);
    }
    Ok(records)
}

pub(crate) fn after<R: Stored>(
    connection: &Connection,
    cursor: u64,
    limit: usize,
) -> Result<Vec<(u64, R)>, StoreError> {
    let mut select = connection.prepare_cached(R::AFTER)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![column_ns(cursor), limit])?;
    let mut resources = Resources::default();
    let mut records = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(2)?.as_blob().map_err(damaged)?;
        bytes += body.len();
        if bytes > MAX_AFTER_BYTES && !records.is_empty() {
            break;
        }
        records.push((row.get(0)?, resources.record(connection, row.get(1)?, body)?));
    }
    Ok(records)
}

pub(crate) fn cursor(connection: &Connection, sink: &str) -> Result<u64, StoreError> {
    let cursor = connection
        .prepare_cached("SELECT cursor FROM sinks WHERE name = ?1")?
        .query_row([sink], |row| row.get(0))
        .optional()?;
    Ok(cursor.unwrap_or_default())
}

pub(crate) fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let counts = connection
        .prepare_cached("SELECT spans, traces, logs FROM totals")?
        .query_row([], |row| Ok(Counts { spans: row.get(0)?, traces: row.get(1)?, log_records: row.get(2)? }))?;
    Ok(counts)
}

/// What is known of a trace.
pub(crate) fn fold(connection: &Connection, trace_id: TraceId) -> rusqlite::Result<Option<Fold>> {
    let select = format!("SELECT {FOLD_COLUMNS} FROM traces WHERE trace_id = ?1");
    connection.prepare_cached(&select)?.query_row([trace_id.to_bytes()], fold_of).optional()
}

/// Reads a row of [`FOLD_COLUMNS`].
pub(crate) fn fold_of(row: &Row<'_>) -> rusqlite::Result<Fold> {
    let user = match row.get::<_, Option<String>>(13)? {
        Some(name) => Some(User { start_ns: row.get(11)?, span_id: span_id(row, 12)?, name }),
        None => None,
    };
    let bands = match row.get::<_, Option<f64>>(14)? {
        Some(network_ms) => Some(Bands {
            network_ms,
            uplink_ms: row.get(15)?,
            downlink_ms: row.get(16)?,
            error_ms: row.get(17)?,
            server_ms: row.get(18)?,
        }),
        None => None,
    };
    Ok(Fold {
        start_ns: row.get(1)?,
        end_ns: row.get(2)?,
        head: Head {
            is_root: row.get(3)?,
            start_ns: row.get(4)?,
            end_ns: row.get(5)?,
            span_id: span_id(row, 6)?,
            name: row.get(7)?,
            service: row.get(8)?,
        },
        span_count: row.get(9)?,
        error_count: row.get(10)?,
        user,
        bands,
    })
}

/// Reads a trace id from a column.
pub(crate) fn trace_id(row: &Row<'_>, column: usize) -> rusqlite::Result<TraceId> {
    TraceId::from_slice(row.get_ref(column)?.as_blob()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

fn span_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SpanId> {
    SpanId::from_slice(row.get_ref(column)?.as_blob()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

/// Resources and scopes that one read has met, each shared by its records.
#[derive(Default)]
struct Resources {
    by_id: HashMap<i64, (Arc<Resource>, Arc<Scope>)>,
}

impl Resources {
    fn record<R: Record>(&mut self, connection: &Connection, id: i64, body: &[u8]) -> Result<R, StoreError> {
        if let Some((resource, scope)) = self.by_id.get(&id) {
            return decode_record(body, resource, scope).map_err(damaged);
        }
        let bytes: Vec<u8> =
            connection.prepare_cached("SELECT body FROM resources WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
        let (resource, scope) = decode_resource_scope(&bytes).map_err(damaged)?;
        let record = decode_record(body, &resource, &scope).map_err(damaged)?;
        self.by_id.insert(id, (resource, scope));
        Ok(record)
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
