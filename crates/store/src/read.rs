//! Reads single traces, spans and log records in commit order, and the small tables.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use throughline_context::TraceId;
use throughline_otlp::{LogRecord, Record, Resource, Scope, Span, decode_record, decode_resource_scope};

use crate::{
    Counts, SinkCursor, StoreError, block,
    fold::{Columns, Fold, column_ns},
};

/// The maximum number of spans of one trace that are returned. If the trace has more, the earliest are returned.
pub const MAX_TRACE_SPANS: usize = 100_000;
/// The maximum number of log records of one trace that are returned. If the trace has more, the earliest are returned.
pub const MAX_TRACE_LOGS: usize = 10_000;
/// The size of records, in bytes before compression, after which `after` and `logs_after` stop. They return at least one block
/// of spans or one log record, even if it is larger.
pub const MAX_AFTER_BYTES: usize = 8 << 20;

/// The columns of `traces` that [`fold_of`] reads, beginning with `trace_id`.
pub(crate) const FOLD_COLUMNS: &str = "trace_id, start_ns, span_count, error_count, about";
/// The number of columns in [`FOLD_COLUMNS`].
const FOLD_COUNT: usize = 5;

/// Returns the earliest [`MAX_TRACE_SPANS`] spans of a trace, ordered by start time.
pub(crate) fn trace(connection: &Connection, trace_id: TraceId) -> Result<Vec<Span>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT body FROM traces JOIN trace_blocks ON trace_no = no JOIN blocks USING (last_seq)
         WHERE trace_id = ?1 ORDER BY last_seq",
    )?;
    let mut rows = select.query([trace_id.to_bytes()])?;
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        spans.append(&mut block::decode_trace(row.get_ref(0)?.as_blob().map_err(damaged)?, trace_id)?);
        if spans.len() > 2 * MAX_TRACE_SPANS {
            earliest(&mut spans);
        }
    }
    earliest(&mut spans);
    Ok(spans)
}

fn earliest(spans: &mut Vec<Span>) {
    // The sort is stable: spans with equal start stay in commit order.
    spans.sort_by_key(|span| span.start_ns);
    spans.truncate(MAX_TRACE_SPANS);
}

/// Returns the spans after a position, in commit order.
pub(crate) fn after(connection: &Connection, cursor: u64, limit: usize) -> Result<Vec<(u64, Span)>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT first_seq, body FROM blocks WHERE last_seq > ?1 ORDER BY last_seq")?;
    let mut rows = select.query([column_ns(cursor)])?;
    let (mut spans, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let first: u64 = row.get(0)?;
        let (block, block_bytes) = block::decode(row.get_ref(1)?.as_blob().map_err(damaged)?)?;
        bytes += block_bytes;
        if bytes > MAX_AFTER_BYTES && !spans.is_empty() {
            break;
        }
        let new = (first..).zip(block).filter(|(place, _)| *place > cursor);
        spans.extend(new.take(limit.saturating_sub(spans.len())));
        if spans.len() >= limit {
            break;
        }
    }
    Ok(spans)
}

/// A run of spans of one trace at consecutive positions in commit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceRun {
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The position of the first span.
    pub first: u64,
    /// The position of the last span.
    pub last: u64,
}

/// Returns the traces of the spans after a position, from the uncompressed heads of their blocks.
pub(crate) fn runs_after(connection: &Connection, cursor: u64, limit: usize) -> Result<Vec<TraceRun>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT first_seq, body FROM blocks WHERE last_seq > ?1 ORDER BY last_seq")?;
    let mut rows = select.query([column_ns(cursor)])?;
    let (mut runs, mut spans) = (Vec::new(), 0);
    while let Some(row) = rows.next()?
        && spans < limit
    {
        let block_first: u64 = row.get(0)?;
        let head = block::head(row.get_ref(1)?.as_blob().map_err(damaged)?)?;
        for run in &head.runs {
            let first = block_first + run.first as u64;
            let last = first + run.spans as u64 - 1;
            if last > cursor {
                runs.push(TraceRun { trace_id: run.trace_id, first: first.max(cursor + 1), last });
            }
        }
        spans += head.span_ids.len();
    }
    Ok(runs)
}

/// Returns the earliest [`MAX_TRACE_LOGS`] log records of a trace, ordered by time.
pub(crate) fn trace_logs(connection: &Connection, trace_id: TraceId) -> Result<Vec<LogRecord>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT resource_id, body FROM logs WHERE trace_id = ?1 ORDER BY time_ns, seq LIMIT ?2")?;
    let mut rows = select.query(params![trace_id.to_bytes(), MAX_TRACE_LOGS])?;
    let mut resources = Resources::default();
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_blob().map_err(damaged)?;
        records.push(resources.record(connection, row.get(0)?, body)?);
    }
    Ok(records)
}

/// Returns the log records after a position, in commit order.
pub(crate) fn logs_after(
    connection: &Connection,
    cursor: u64,
    limit: usize,
) -> Result<Vec<(u64, LogRecord)>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT seq, resource_id, body FROM logs WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
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

pub(crate) fn cursor(connection: &Connection, cursor: &SinkCursor) -> Result<u64, StoreError> {
    let place = connection
        .prepare_cached("SELECT cursor FROM sinks WHERE name = ?1")?
        .query_row([cursor.as_str()], |row| row.get(0))
        .optional()?;
    // A sink without a cursor starts before the first record.
    Ok(place.unwrap_or(0))
}

pub(crate) fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let counts = connection
        .prepare_cached(
            "SELECT spans, traces, logs, span_seq,
                 coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'logs'), 0) FROM totals",
        )?
        .query_row([], |row| {
            Ok(Counts {
                spans: row.get(0)?,
                traces: row.get(1)?,
                log_records: row.get(2)?,
                last_span: row.get(3)?,
                last_log_record: row.get(4)?,
            })
        })?;
    Ok(counts)
}

/// Returns the number and the fold of a trace.
pub(crate) fn fold(connection: &Connection, trace_id: TraceId) -> Result<Option<(i64, Fold)>, StoreError> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {FOLD_COLUMNS}, no FROM traces WHERE trace_id = ?1"))?;
    let mut rows = select.query([trace_id.to_bytes()])?;
    match rows.next()? {
        Some(row) => Ok(Some((row.get(FOLD_COUNT)?, fold_of(row)?))),
        None => Ok(None),
    }
}

/// Reads a row of [`FOLD_COLUMNS`].
pub(crate) fn fold_of(row: &Row<'_>) -> Result<Fold, StoreError> {
    let columns = Columns { start_ns: row.get(1)?, span_count: row.get(2)?, error_count: row.get(3)? };
    Ok(Fold::from_bytes(row.get_ref(4)?.as_blob().map_err(damaged)?, columns)?)
}

/// Reads a trace id from a column.
pub(crate) fn trace_id(row: &Row<'_>, column: usize) -> rusqlite::Result<TraceId> {
    TraceId::from_slice(row.get_ref(column)?.as_blob()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

/// The resources and scopes that one read has decoded, each shared by its records.
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

pub(crate) fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
