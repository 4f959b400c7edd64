//! From a row for each span to blocks.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _};
use throughline_otlp::{Resource, Scope, Span, decode_record, decode_resource_scope};

use crate::{
    StoreError,
    append::{self, State, unix_s},
    read::damaged,
    schema,
};

/// How many spans are put into blocks at once.
const AT_ONCE: usize = 4_096;

/// Makes the tables of blocks and fills them from the table of spans, which goes. Each span keeps its place.
pub(crate) fn blocks(connection: &Connection) -> Result<(), StoreError> {
    // What is told of traces follows from their spans.
    connection.execute_batch(
        "DROP TABLE trace_terms; DROP TABLE terms; DROP TABLE trace_services; DROP TABLE traces;
         UPDATE totals SET traces = 0;",
    )?;
    connection.execute_batch(schema::TERMS)?;
    connection.execute_batch(schema::BLOCKS)?;
    let mut state = State::new(connection)?;
    let last = copy(connection, &mut state)?;
    let given = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'spans'", [], |row| row.get::<_, i64>(0))
        .optional()?;
    connection.execute("UPDATE totals SET span_seq = ?1", [last.max(given.unwrap_or_default())])?;
    connection.execute("UPDATE logs SET stored_s = min(time_ns / 1000000000, ?1)", [unix_s()])?;
    connection
        .execute_batch("DROP TABLE spans; DELETE FROM resources WHERE id NOT IN (SELECT resource_id FROM logs);")?;
    Ok(())
}

/// Copies all spans; the last place.
fn copy(connection: &Connection, state: &mut State) -> Result<i64, StoreError> {
    let mut select = connection.prepare("SELECT seq, resource_id, body FROM spans ORDER BY seq")?;
    let mut rows = select.query([])?;
    let mut sources = Sources::default();
    let (mut spans, mut last) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        // A block has no gaps.
        if spans.len() >= AT_ONCE || seq != last + 1 {
            flush(connection, state, &mut spans, last)?;
        }
        let body = row.get_ref(2)?.as_blob().map_err(damaged)?;
        spans.push(sources.span(connection, row.get(1)?, body)?);
        last = seq;
    }
    flush(connection, state, &mut spans, last)?;
    Ok(last)
}

fn flush(connection: &Connection, state: &mut State, spans: &mut Vec<Span>, last: i64) -> Result<(), StoreError> {
    let Some(end_ns) = spans.iter().map(|span| span.end_ns).max() else { return Ok(()) };
    // When they came in was not noted.
    let stored_s = i64::try_from(end_ns / 1_000_000_000).unwrap_or(i64::MAX).min(unix_s());
    append::append_at(connection, state, spans, last - spans.len() as i64 + 1, stored_s)?;
    spans.clear();
    Ok(())
}

/// Resources and scopes by their numbers.
#[derive(Default)]
struct Sources {
    by_id: HashMap<i64, (Arc<Resource>, Arc<Scope>)>,
}

impl Sources {
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

#[cfg(test)]
mod tests;
