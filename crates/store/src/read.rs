//! Reading single traces, spans in order, and the small tables.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use throughline_otlp::{
    Resource, Scope, Span,
    context::{SpanId, TraceId},
    decode_record, decode_resource_scope,
};

use crate::{
    Bands, Counts, StoreError,
    fold::{Fold, Head, User, column_ns},
};

/// How many spans of one trace are returned; what lies beyond is left out, latest first.
pub const MAX_TRACE_SPANS: usize = 100_000;
/// After how many bytes of spans, as stored, `after` stops. The first span is returned whatever its size.
pub const MAX_AFTER_BYTES: usize = 8 << 20;

/// The columns of `traces` that [`fold_of`] reads, beginning with `trace_id`.
pub(crate) const FOLD_COLUMNS: &str = "trace_id, start_ns, end_ns, head_is_root, head_start_ns, \
     head_end_ns, head_span_id, head_name, head_service, span_count, error_count, user_start_ns, \
     user_span_id, user_name, network_ms, uplink_ms, downlink_ms, error_ms, server_ms";

pub(crate) fn trace(connection: &Connection, trace_id: TraceId) -> Result<Vec<Span>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT resource_id, body FROM spans WHERE trace_id = ?1 ORDER BY start_ns, seq LIMIT ?2")?;
    let mut rows = select.query(params![trace_id.to_bytes(), MAX_TRACE_SPANS])?;
    let mut resources = Resources::default();
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_blob().map_err(damaged)?;
        spans.push(resources.span(connection, row.get(0)?, body)?);
    }
    Ok(spans)
}

pub(crate) fn after(connection: &Connection, cursor: u64, limit: usize) -> Result<Vec<(u64, Span)>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT seq, resource_id, body FROM spans WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![column_ns(cursor), limit])?;
    let mut resources = Resources::default();
    let mut spans = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(2)?.as_blob().map_err(damaged)?;
        bytes += body.len();
        if bytes > MAX_AFTER_BYTES && !spans.is_empty() {
            break;
        }
        spans.push((row.get(0)?, resources.span(connection, row.get(1)?, body)?));
    }
    Ok(spans)
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
        .prepare_cached("SELECT spans, traces FROM totals")?
        .query_row([], |row| Ok(Counts { spans: row.get(0)?, traces: row.get(1)? }))?;
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

/// Resources and scopes that one read has met, each shared by its spans.
#[derive(Default)]
struct Resources {
    by_id: HashMap<i64, (Arc<Resource>, Arc<Scope>)>,
}

impl Resources {
    fn span(&mut self, connection: &Connection, id: i64, body: &[u8]) -> Result<Span, StoreError> {
        if let Some((resource, scope)) = self.by_id.get(&id) {
            return decode_record(body, resource, scope).map_err(damaged);
        }
        let bytes: Vec<u8> =
            connection.prepare_cached("SELECT body FROM resources WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
        let (resource, scope) = decode_resource_scope(&bytes).map_err(damaged)?;
        let span = decode_record(body, &resource, &scope).map_err(damaged)?;
        self.by_id.insert(id, (resource, scope));
        Ok(span)
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
