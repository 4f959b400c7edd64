//! Deletes old records in small steps, so that the writer is never busy for long.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use throughline_otlp::Signal;

use crate::{
    SinkCursor, SinkName, StoreError,
    append::{State, unix_s},
    block::{self, Run},
    read::damaged,
    terms,
};

/// The number of traces after which a step ends; the last block may add as many more as it has spans. A trace takes about ten
/// microseconds.
const STEP_TRACES: usize = 2_048;
/// The maximum number of blocks that one step deletes.
const STEP_BLOCKS: usize = 64;
/// The number of log records after which a step ends.
const STEP_RECORDS: usize = 1_024;
/// The number of log records that are deleted between two checks of the limits.
const AT_ONCE: usize = 128;
/// The maximum number of unused texts that one step deletes.
const STEP_TERMS: usize = 1_024;
/// The maximum number of free pages that one step returns to the file system.
const STEP_PAGES: u32 = 256;

/// Limits on the age and size of stored records. By default, there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// The maximum age of a record, counted from when it was stored. Older records are deleted.
    pub age: Option<Duration>,
    /// The approximate size limit of the store, in bytes: above it, the records that were stored first are deleted first. Free
    /// pages are reused, and are returned to the file system while the file is more than a tenth above the limit.
    pub bytes: Option<u64>,
    /// The size limit of the store for undelivered records, in bytes. Up to this size, records that one of the sinks below has
    /// not delivered yet are kept, regardless of `age` and `bytes`. Above it, they are deleted and counted as lost
    /// ([`Store::lost`](crate::Store::lost)).
    pub unsent_bytes: Option<u64>,
    /// The sinks that receive all spans.
    pub span_sinks: Vec<SinkName>,
    /// The sinks that receive all log records.
    pub log_sinks: Vec<SinkName>,
}

impl Retention {
    /// Sets [`age`](Self::age); `None` is no limit.
    #[must_use]
    pub fn with_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.age = age.into();
        self
    }

    /// Sets [`bytes`](Self::bytes); `None` is no limit.
    #[must_use]
    pub fn with_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.bytes = bytes.into();
        self
    }

    /// Sets [`unsent_bytes`](Self::unsent_bytes); `None` is no limit.
    #[must_use]
    pub fn with_unsent_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.unsent_bytes = bytes.into();
        self
    }

    /// Sets [`span_sinks`](Self::span_sinks).
    #[must_use]
    pub fn with_span_sinks(mut self, sinks: impl IntoIterator<Item = SinkName>) -> Self {
        self.span_sinks = sinks.into_iter().collect();
        self
    }

    /// Sets [`log_sinks`](Self::log_sinks).
    #[must_use]
    pub fn with_log_sinks(mut self, sinks: impl IntoIterator<Item = SinkName>) -> Self {
        self.log_sinks = sinks.into_iter().collect();
        self
    }
}

/// The number of records that retention deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tidied {
    /// The number of deleted spans.
    pub spans: usize,
    /// The number of deleted log records.
    pub log_records: usize,
    /// The number of deleted records that a sink had not delivered yet. A record that two sinks had not delivered counts twice.
    pub lost: usize,
    /// The number of steps.
    pub steps: usize,
    /// The maximum number of rows that one step touched, which bounds how long the writer was busy.
    pub most_rows: usize,
}

impl Tidied {
    /// Adds the numbers of another step.
    pub(crate) fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.log_records += other.log_records;
        self.lost += other.lost;
        self.steps += other.steps;
        self.most_rows = self.most_rows.max(other.most_rows);
    }
}

/// Runs one step of retention; `None` if there is nothing to do.
pub(crate) fn step(
    connection: &mut Connection,
    state: &mut State,
    retention: &Retention,
) -> Result<Option<Tidied>, StoreError> {
    // The check needs no write transaction.
    if oldest(connection, retention, unix_s())?.is_none() {
        return give_back(connection, retention);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut tidied = Tidied { steps: 1, ..Tidied::default() };
    let (mut traces, mut blocks) = (0, 0);
    while traces < STEP_TRACES && blocks < STEP_BLOCKS && tidied.log_records < STEP_RECORDS {
        match oldest(&transaction, retention, unix_s())? {
            Some(Oldest::Block(block)) => {
                traces += remove_block(&transaction, state, retention, &block, &mut tidied)?;
                blocks += 1;
            }
            Some(Oldest::Records(records)) => remove_records(&transaction, retention, &records, &mut tidied)?,
            None => break,
        }
    }
    let terms = remove_terms(&transaction, state)?;
    transaction.commit()?;
    tidied.most_rows = traces + blocks + tidied.log_records + terms;
    Ok(Some(tidied))
}

/// The records to delete next.
enum Oldest {
    Block(Block),
    Records(Records),
}

struct Block {
    first_seq: i64,
    last_seq: i64,
}

/// The log records up to this position.
struct Records {
    last_seq: i64,
}

/// Returns the block or the log records that were stored first, if they exceed the limits.
fn oldest(connection: &Connection, retention: &Retention, now_s: i64) -> Result<Option<Oldest>, StoreError> {
    if retention.age.is_none() && retention.bytes.is_none() {
        return Ok(None);
    }
    let too_old_s =
        retention.age.map_or(i64::MIN, |age| now_s.saturating_sub(age.as_secs().try_into().unwrap_or(i64::MAX)));
    let used = used_bytes(connection)?;
    let is_too_large = retention.bytes.is_some_and(|bytes| used > bytes);
    let unsent_may_go = retention.unsent_bytes.is_some_and(|bytes| used > bytes);
    let may_go = |stored_s: i64, last_seq: i64, sent: i64| {
        (stored_s < too_old_s || is_too_large) && (last_seq <= sent || unsent_may_go)
    };
    let block = connection
        .prepare_cached("SELECT first_seq, last_seq, stored_s FROM blocks ORDER BY last_seq LIMIT 1")?
        .query_row([], |row| Ok((Block { first_seq: row.get(0)?, last_seq: row.get(1)? }, row.get::<_, i64>(2)?)))
        .optional()?;
    let mut select = connection.prepare_cached("SELECT seq, stored_s FROM logs ORDER BY seq LIMIT ?1")?;
    let first: Vec<(i64, i64)> =
        select.query_map([AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let spans_sent = sent(connection, &retention.span_sinks, Signal::Traces)?;
    let records_sent = sent(connection, &retention.log_sinks, Signal::Logs)?;
    let block = block.filter(|(block, stored_s)| may_go(*stored_s, block.last_seq, spans_sent));
    let go = first.iter().take_while(|(seq, stored_s)| may_go(*stored_s, *seq, records_sent));
    let records = go.last().map(|(last_seq, _)| (Records { last_seq: *last_seq }, first[0].1));
    Ok(match (block, records) {
        (Some((_, of_block)), Some((records, of_records))) if of_records < of_block => Some(Oldest::Records(records)),
        (Some((block, _)), _) => Some(Oldest::Block(block)),
        (None, records) => records.map(|(records, _)| Oldest::Records(records)),
    })
}

/// Returns the size of all pages in use, in bytes.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

/// Returns the position up to which all of these sinks have delivered everything.
fn sent(connection: &Connection, sinks: &[SinkName], signal: Signal) -> rusqlite::Result<i64> {
    let mut sent = i64::MAX;
    for sink in sinks {
        sent = sent.min(place(connection, &sink.cursor(signal))?);
    }
    Ok(sent)
}

fn place(connection: &Connection, cursor: &SinkCursor) -> rusqlite::Result<i64> {
    let place: Option<i64> = connection
        .prepare_cached("SELECT cursor FROM sinks WHERE name = ?1")?
        .query_row([cursor.as_str()], |row| row.get(0))
        .optional()?;
    // A sink without a cursor starts before the first record.
    Ok(place.unwrap_or(0))
}

/// Deletes a block, and returns the number of traces that had spans in it. A trace that has spans in other blocks is kept:
/// its counts are reduced, and its other facts stay.
fn remove_block(
    connection: &Connection,
    state: &mut State,
    retention: &Retention,
    block: &Block,
    tidied: &mut Tidied,
) -> Result<usize, StoreError> {
    let head = connection
        .prepare_cached("SELECT body FROM blocks WHERE last_seq = ?1")?
        .query_row([block.last_seq], |row| Ok(row.get_ref(0)?.as_blob().map_err(damaged).and_then(block::head)))?;
    let touched = match head {
        Ok(head) => {
            for run in &head.runs {
                remove_run(connection, state, block, run)?;
            }
            head.runs.len()
        }
        // The head of the block is damaged, so its traces are looked up in `trace_blocks`.
        Err(_) => remove_damaged(connection, state, block)?,
    };
    connection.prepare_cached("DELETE FROM blocks WHERE last_seq = ?1")?.execute([block.last_seq])?;
    let spans = block.last_seq - block.first_seq + 1;
    connection.prepare_cached("UPDATE totals SET spans = max(spans - ?1, 0)")?.execute([spans])?;
    tidied.spans += usize::try_from(spans).map_err(damaged)?;
    for sink in &retention.span_sinks {
        let cursor = sink.cursor(Signal::Traces);
        let unsent = block.last_seq - place(connection, &cursor)?.clamp(block.first_seq - 1, block.last_seq);
        tidied.lost += note_lost(connection, &cursor, unsent)?;
    }
    Ok(touched)
}

fn remove_run(connection: &Connection, state: &mut State, block: &Block, run: &Run) -> Result<(), StoreError> {
    let no: Option<i64> = connection
        .prepare_cached("SELECT no FROM traces WHERE trace_id = ?1")?
        .query_row([run.trace_id.to_bytes()], |row| row.get(0))
        .optional()?;
    let Some(no) = no else { return Ok(()) };
    state.known.forget(run.trace_id);
    remove_part(connection, no, block.last_seq, run.spans, run.errors)
}

/// Removes the spans of a block from a trace, and deletes the trace if it has no other block.
fn remove_part(connection: &Connection, no: i64, last_seq: i64, spans: usize, errors: usize) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM trace_blocks WHERE trace_no = ?1 AND last_seq = ?2")?
        .execute([no, last_seq])?;
    let stays = connection.prepare_cached("SELECT 1 FROM trace_blocks WHERE trace_no = ?1 LIMIT 1")?.exists([no])?;
    if stays {
        connection
            .prepare_cached(
                "UPDATE traces SET span_count = max(span_count - ?2, 1), error_count = max(error_count - ?3, 0)
                 WHERE no = ?1",
            )?
            .execute(params![no, spans, errors])?;
    } else {
        let removed = connection.prepare_cached("DELETE FROM traces WHERE no = ?1")?.execute([no])?;
        connection.prepare_cached("UPDATE totals SET traces = max(traces - ?1, 0)")?.execute([removed])?;
    }
    Ok(())
}

fn remove_damaged(connection: &Connection, state: &mut State, block: &Block) -> Result<usize, StoreError> {
    let mut select = connection.prepare_cached("SELECT trace_no FROM trace_blocks WHERE last_seq = ?1")?;
    let of: Vec<i64> = select.query_map([block.last_seq], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for no in &of {
        remove_part(connection, *no, block.last_seq, 0, 0)?;
    }
    state.known.clear();
    Ok(of.len())
}

fn remove_records(
    connection: &Connection,
    retention: &Retention,
    records: &Records,
    tidied: &mut Tidied,
) -> Result<(), StoreError> {
    for sink in &retention.log_sinks {
        let cursor = sink.cursor(Signal::Logs);
        let unsent: i64 = connection
            .prepare_cached("SELECT count(*) FROM logs WHERE seq <= ?1 AND seq > ?2")?
            .query_row([records.last_seq, place(connection, &cursor)?], |row| row.get(0))?;
        tidied.lost += note_lost(connection, &cursor, unsent)?;
    }
    let mut select = connection.prepare_cached("SELECT DISTINCT resource_id FROM logs WHERE seq <= ?1")?;
    let resources: Vec<i64> = select.query_map([records.last_seq], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let removed = connection.prepare_cached("DELETE FROM logs WHERE seq <= ?1")?.execute([records.last_seq])?;
    connection.prepare_cached("UPDATE totals SET logs = max(logs - ?1, 0)")?.execute([removed])?;
    for resource in resources {
        connection
            .prepare_cached(
                "DELETE FROM resources WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM logs WHERE resource_id = ?1)",
            )?
            .execute([resource])?;
    }
    tidied.log_records += removed;
    Ok(())
}

fn note_lost(connection: &Connection, cursor: &SinkCursor, unsent: i64) -> Result<usize, StoreError> {
    if unsent > 0 {
        connection
            .prepare_cached(
                "INSERT INTO sinks (name, cursor, lost) VALUES (?1, 0, ?2)
                 ON CONFLICT (name) DO UPDATE SET lost = lost + excluded.lost",
            )?
            .execute(params![cursor.as_str(), unsent])?;
    }
    Ok(usize::try_from(unsent).expect("the number of unsent records is not negative"))
}

/// Deletes texts that no remaining trace uses. Returns the number of deleted texts.
fn remove_terms(connection: &Connection, state: &mut State) -> Result<usize, StoreError> {
    let oldest_no: Option<i64> =
        connection.prepare_cached("SELECT min(no) FROM traces")?.query_row([], |row| row.get(0))?;
    // The traces of one transaction may have two different ages.
    let age = terms::age(oldest_no.unwrap_or(state.last_no)) - 1;
    if age <= state.swept_age {
        return Ok(0);
    }
    let removed = terms::remove(connection, age, STEP_TERMS)?;
    if removed > 0 {
        state.forget_terms();
    }
    if removed < STEP_TERMS {
        state.swept_age = age;
    }
    Ok(removed)
}

/// Returns free pages to the file system, if the file is more than a tenth above its limit.
fn give_back(connection: &Connection, retention: &Retention) -> Result<Option<Tidied>, StoreError> {
    let Some(bytes) = retention.bytes else { return Ok(None) };
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let (pages, free, page_bytes) = (pragma("page_count")?, pragma("freelist_count")?, pragma("page_size")?);
    // 2 is `incremental`; a file that was created with another mode keeps its free pages.
    let can = pragma("auto_vacuum")? == 2;
    if !can || free == 0 || pages * page_bytes <= bytes.saturating_add(bytes / 10) {
        return Ok(None);
    }
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    Ok(Some(Tidied { steps: 1, most_rows: STEP_PAGES as usize, ..Tidied::default() }))
}

/// Returns the number of records that were deleted before this sink had delivered them.
pub(crate) fn lost(connection: &Connection, cursor: &SinkCursor) -> Result<u64, StoreError> {
    let lost = connection
        .prepare_cached("SELECT lost FROM sinks WHERE name = ?1")?
        .query_row([cursor.as_str()], |row| row.get(0))
        .optional()?;
    Ok(lost.unwrap_or(0))
}
