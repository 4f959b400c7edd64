//! The persistent state of the outbox, apart from its cursors: tail sampling decisions and quarantined records.
//!
//! It has its own file, `outbox.db`, beside that of the store. If the file is lost, delivery continues from the store, but a
//! trace may then be decided a second time, with a different result.

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, params};
use throughline_context::{SpanId, TraceId};
use tokio::task;

use crate::{SinkCursor, StoreError, fold::column_ns, format::Format, read::damaged, schema};

pub(crate) const FILE: &str = "outbox.db";
/// The format of `outbox.db`.
pub(crate) const FORMAT: Format = Format::new(FILE, b"TLob", b"THLO", &[TABLES, RENAME_QUARANTINE]);
/// The maximum number of quarantined entries of one sink; the oldest are deleted first.
const MAX_QUARANTINED: i64 = 10_000;
/// The maximum number of decisions that one call deletes.
const FORGET_STEP: i64 = 10_000;

// `rate` is the number of traces that one forwarded trace represents; 0 if the trace is not forwarded.
const TABLES: &str = "
CREATE TABLE decisions (
    trace_id BLOB PRIMARY KEY,
    rate INTEGER NOT NULL,
    decided_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_by_age ON decisions (decided_s);

CREATE TABLE set_aside (
    sink TEXT NOT NULL,
    place INTEGER NOT NULL,
    trace_id BLOB,
    span_id BLOB,
    count INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (sink, place)
) STRICT, WITHOUT ROWID;
";

const RENAME_QUARANTINE: &str = "ALTER TABLE set_aside RENAME TO quarantined";

/// An entry of the quarantine: records that an upstream permanently rejected. The records stay in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The record's position in commit order; if `count` is more than one, the last position of their batch.
    pub place: u64,
    /// The record's trace, if it has one and the rejected record is known.
    pub trace_id: Option<TraceId>,
    /// The record's span, if it has one and the rejected record is known.
    pub span_id: Option<SpanId>,
    /// The number of rejected records: more than one if the upstream reported only how many it rejected.
    pub count: u64,
    /// The time of the rejection, in nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The reason that the upstream gave.
    pub reason: String,
}

impl Quarantined {
    /// Creates an entry for one record at position `place` that was rejected at `at_ns`, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(place: u64, at_ns: u64, reason: impl Into<String>) -> Self {
        Self { place, trace_id: None, span_id: None, count: 1, at_ns, reason: reason.into() }
    }

    /// Sets the number of rejected records.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// Sets the ids of the rejected record, as far as they are known.
    #[must_use]
    pub fn with_ids(mut self, trace_id: Option<TraceId>, span_id: Option<SpanId>) -> Self {
        (self.trace_id, self.span_id) = (trace_id, span_id);
        self
    }
}

/// The persistent state of the outbox. Clones share it. Changes are on disk when the call resolves.
#[derive(Clone)]
pub struct Outbox {
    connection: Arc<Mutex<Connection>>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Outbox {
    /// Opens the file `outbox.db` in `dir`. Both are created if they do not exist, readable only by the owner. It blocks
    /// briefly.
    ///
    /// # Errors
    /// Same as [`Store::open`](crate::Store::open).
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        schema::make_file(dir, &file).map_err(StoreError::Directory)?;
        let mut connection = Connection::open(&file)?;
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        // A file of another program must not be changed, so the format is checked first.
        FORMAT.found(&connection, &file)?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
        connection.pragma_update(None, "synchronous", "full")?;
        schema::guard(&connection)?;
        FORMAT.upgrade(&mut connection, &file, |_| Ok(()))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Returns the sampling decisions of these traces: the number of traces that each one represents if it is forwarded, 0 if
    /// it is not. Undecided traces are absent.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn rates(&self, trace_ids: Vec<TraceId>) -> Result<HashMap<TraceId, u64>, StoreError> {
        self.with(move |connection| {
            let mut rates = HashMap::with_capacity(trace_ids.len());
            for trace_id in trace_ids {
                rates.extend(rate(connection, trace_id)?.map(|rate| (trace_id, rate)));
            }
            Ok(rates)
        })
        .await
    }

    /// Stores decisions, all or none, that were made at `now_s`, in seconds since the Unix epoch. A trace keeps its first
    /// decision. Returns the decision that is in effect for each trace.
    ///
    /// # Errors
    /// [`StoreError::Full`], or an error of the database.
    pub async fn decide(
        &self,
        decisions: Vec<(TraceId, u64)>,
        now_s: u64,
    ) -> Result<HashMap<TraceId, u64>, StoreError> {
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            let mut rates = HashMap::with_capacity(decisions.len());
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO decisions (trace_id, rate, decided_s) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?;
                for (trace_id, wanted) in decisions {
                    let inserted = insert.execute(params![trace_id.to_bytes(), column_ns(wanted), column_ns(now_s)])?;
                    let holds = if inserted == 1 { Some(wanted) } else { rate(&transaction, trace_id)? };
                    rates.insert(trace_id, holds.unwrap_or(wanted));
                }
            }
            transaction.commit()?;
            Ok(rates)
        })
        .await
    }

    /// Deletes decisions that were made before `before_s`, in seconds since the Unix epoch. Each call deletes a limited number,
    /// so that it does not block other calls for long. Returns the number of deleted decisions.
    ///
    /// # Errors
    /// [`StoreError::Full`], or an error of the database.
    pub async fn forget_decisions(&self, before_s: u64) -> Result<usize, StoreError> {
        self.with(move |connection| {
            let mut delete = connection.prepare_cached(
                "DELETE FROM decisions WHERE trace_id IN
                     (SELECT trace_id FROM decisions WHERE decided_s < ?1 ORDER BY decided_s LIMIT ?2)",
            )?;
            Ok(delete.execute(params![column_ns(before_s), FORGET_STEP])?)
        })
        .await
    }

    /// Stores an entry in the quarantine of a sink. It replaces an entry with the same position.
    ///
    /// # Errors
    /// [`StoreError::Full`], or an error of the database.
    pub async fn quarantine(&self, sink: &SinkCursor, entry: Quarantined) -> Result<(), StoreError> {
        let sink = sink.clone();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            transaction
                .prepare_cached(
                    "REPLACE INTO quarantined (sink, place, trace_id, span_id, count, at_ns, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    sink.as_str(),
                    column_ns(entry.place),
                    entry.trace_id.map(TraceId::to_bytes),
                    entry.span_id.map(SpanId::to_bytes),
                    column_ns(entry.count),
                    column_ns(entry.at_ns),
                    entry.reason,
                ])?;
            transaction
                .prepare_cached(
                    "DELETE FROM quarantined WHERE sink = ?1 AND place <=
                         (SELECT place FROM quarantined WHERE sink = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)",
                )?
                .execute(params![sink.as_str(), MAX_QUARANTINED])?;
            transaction.commit()?;
            Ok(())
        })
        .await
    }

    /// Returns the quarantined entries of a sink, the latest position first, at most `limit`.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn quarantined_by(&self, sink: &SinkCursor, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let sink = sink.clone();
        self.with(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT place, trace_id, span_id, count, at_ns, reason FROM quarantined
                 WHERE sink = ?1 ORDER BY place DESC LIMIT ?2",
            )?;
            let mut rows = select.query(params![sink.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let trace_id: Option<Vec<u8>> = row.get(1)?;
                let span_id: Option<Vec<u8>> = row.get(2)?;
                entries.push(Quarantined {
                    place: row.get(0)?,
                    trace_id: trace_id.map(|id| TraceId::from_slice(&id)).transpose().map_err(damaged)?,
                    span_id: span_id.map(|id| SpanId::from_slice(&id)).transpose().map_err(damaged)?,
                    count: row.get(3)?,
                    at_ns: row.get(4)?,
                    reason: row.get(5)?,
                });
            }
            Ok(entries)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        // A poisoned lock is usable: a panic leaves at most a transaction that is rolled back.
        let done = task::spawn_blocking(move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)));
        // The only way to fail is that the runtime shuts down.
        done.await.map_err(|_| StoreError::Closed)?
    }
}

fn rate(connection: &Connection, trace_id: TraceId) -> rusqlite::Result<Option<u64>> {
    let mut select = connection.prepare_cached("SELECT rate FROM decisions WHERE trace_id = ?1")?;
    select.query_row([trace_id.to_bytes()], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SinkName;
    use throughline_otlp::Signal;

    fn trace(number: u8) -> TraceId {
        TraceId::from_bytes([number; 16]).unwrap()
    }

    fn sink(name: &str) -> SinkCursor {
        SinkName::new(name).unwrap().cursor(Signal::Traces)
    }

    fn entry(place: u64) -> Quarantined {
        Quarantined {
            place,
            trace_id: Some(trace(1)),
            span_id: SpanId::from_bytes([2; 8]),
            count: 1,
            at_ns: 7,
            reason: format!("reason {place}"),
        }
    }

    #[tokio::test]
    async fn the_first_decision_is_kept_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        outbox.decide(vec![(trace(1), 0), (trace(2), 20)], 100).await.unwrap();
        let holds = outbox.decide(vec![(trace(1), 1), (trace(3), 1)], 200).await.unwrap();
        assert_eq!(holds, HashMap::from([(trace(1), 0), (trace(3), 1)]));
        drop(outbox);
        let outbox = Outbox::open(dir.path()).unwrap();
        let all = vec![trace(1), trace(2), trace(3), trace(4)];
        let expected = HashMap::from([(trace(1), 0), (trace(2), 20), (trace(3), 1)]);
        assert_eq!(outbox.rates(all.clone()).await.unwrap(), expected);
        assert_eq!(outbox.forget_decisions(200).await.unwrap(), 2);
        assert_eq!(outbox.rates(all).await.unwrap(), HashMap::from([(trace(3), 1)]));
    }

    #[tokio::test]
    async fn quarantined_entries_are_keyed_by_position_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        for place in [3, 5, 5] {
            outbox.quarantine(&sink("a"), entry(place)).await.unwrap();
        }
        outbox.quarantine(&sink("b"), entry(4)).await.unwrap();
        assert_eq!(outbox.quarantined_by(&sink("a"), 10).await.unwrap(), [entry(5), entry(3)]);
        assert_eq!(outbox.quarantined_by(&sink("a"), 1).await.unwrap(), [entry(5)]);
        {
            let connection = outbox.connection.lock().unwrap();
            let many = "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
                 INSERT INTO quarantined SELECT 'a', i, NULL, NULL, 1, 0, 'x' FROM n";
            connection.execute_batch(many).unwrap();
        }
        outbox.quarantine(&sink("a"), entry(20_000)).await.unwrap();
        let kept = outbox.quarantined_by(&sink("a"), usize::MAX).await.unwrap();
        assert_eq!((kept.len(), kept[0].place), (10_000, 20_000));
        assert_eq!(outbox.quarantined_by(&sink("b"), 10).await.unwrap().len(), 1);
    }

    #[test]
    fn a_file_of_another_program_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let other = Connection::open(dir.path().join(FILE)).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(Outbox::open(dir.path()), Err(StoreError::Corrupt(_))));
        std::fs::write(dir.path().join(FILE), b"no database at all, but long enough to be looked at").unwrap();
        assert!(matches!(Outbox::open(dir.path()), Err(StoreError::Corrupt(_))));
    }
}
