//! The writer thread: queued jobs are written in one transaction.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior, params};
use throughline_context::TraceId;
use throughline_otlp::{LogRecord, Span};
use tokio::sync::{
    broadcast,
    mpsc::{self, error::TryRecvError},
    oneshot, watch,
};

use crate::{
    Appended, Retention, SinkCursor, StoreError, Summary, Tidied,
    append::{State, append},
    checkpoint::Checkpointer,
    fold::column_ns,
    list,
    logs::append_logs,
    retention,
};

/// The maximum number of jobs in one transaction.
const MAX_GROUP_JOBS: usize = 64;
/// The number of spans and log records after which no more jobs are added to a transaction.
const MAX_GROUP_RECORDS: usize = 8192;

/// The interval between retention steps while jobs are written.
const TIDY_EVERY: Duration = Duration::from_secs(1);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A job for the writer. The receiver of the reply may have been dropped when the job is done.
pub(crate) enum Job {
    Append {
        spans: Vec<Span>,
        reply: Reply<Appended>,
    },
    AppendLogs {
        records: Vec<LogRecord>,
        reply: Reply<Appended>,
    },
    SetCursor {
        cursor: SinkCursor,
        place: u64,
        reply: Reply<()>,
    },
    /// Runs one step of [`retention`](crate::retention). The reply is `None` if there was nothing to do.
    Tidy {
        reply: Reply<Option<Tidied>>,
    },
    /// Accepts no more jobs, finishes those in the queue, closes the file, then replies.
    Close {
        reply: oneshot::Sender<()>,
    },
}

impl Job {
    fn record_count(&self) -> usize {
        match self {
            Self::Append { spans, .. } => spans.len(),
            Self::AppendLogs { records, .. } => records.len(),
            Self::SetCursor { .. } | Self::Tidy { .. } | Self::Close { .. } => 0,
        }
    }

    fn answer(self, result: Result<Appended, StoreError>) {
        match self {
            Self::Append { reply, .. } | Self::AppendLogs { reply, .. } => drop(reply.send(result)),
            Self::SetCursor { reply, .. } => drop(reply.send(result.map(|_| ()))),
            Self::Tidy { reply } => drop(reply.send(result.map(|_| None))),
            Self::Close { reply } => drop(reply.send(())),
        }
    }
}

/// The state of the writer thread.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) state: State,
    /// `None` if the writer itself checkpoints the write-ahead log.
    pub(crate) checkpointer: Option<Checkpointer>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// The number of queued spans and log records: increased by the store, decreased by the writer.
    pub(crate) queued_records: Arc<AtomicUsize>,
    pub(crate) changes: broadcast::Sender<Arc<Summary>>,
    pub(crate) commits: watch::Sender<u64>,
    pub(crate) retention: Retention,
    /// The time of the last retention step.
    pub(crate) tidied: Instant,
    /// Whether more may be left to delete after the last retention step.
    pub(crate) is_untidy: bool,
}

impl Writer {
    /// Runs until the queue is empty and the store was closed or all its handles were dropped.
    pub(crate) fn run(mut self) {
        let mut closing = Vec::new();
        while let Some(mut next) = self.next() {
            let mut group = Vec::new();
            let mut asked = Vec::new();
            let mut records = 0;
            while let Some(job) = next {
                records += job.record_count();
                match job {
                    Job::Close { .. } => {
                        self.jobs.close();
                        closing.push(job);
                    }
                    Job::Tidy { reply } => asked.push(reply),
                    job => group.push(job),
                }
                next = if group.len() < MAX_GROUP_JOBS && records < MAX_GROUP_RECORDS {
                    self.jobs.try_recv().ok()
                } else {
                    None
                };
            }
            self.queued_records.fetch_sub(records, Ordering::Relaxed);
            let commits = !group.is_empty();
            self.write(group);
            if let Some(checkpointer) = self.checkpointer.as_mut().filter(|_| commits) {
                checkpointer.committed(&self.connection, records, self.state.written_bytes);
            }
            self.tidy(asked);
        }
        if let Some(checkpointer) = self.checkpointer.take() {
            checkpointer.stop();
        }
        // On close, SQLite checkpoints only if no reader has the file open.
        let written = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot checkpoint the store's write-ahead log; the next start does it");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "cannot close the store's file cleanly");
        }
        for job in closing {
            job.answer(Ok(Appended::default()));
        }
    }

    /// Returns the next job. It is `Some(None)` if the queue is empty and retention has more to do, and `None` at the end.
    fn next(&mut self) -> Option<Option<Job>> {
        if !self.is_untidy {
            return self.jobs.blocking_recv().map(Some);
        }
        match self.jobs.try_recv() {
            Ok(job) => Some(Some(job)),
            Err(TryRecvError::Empty) => Some(None),
            Err(TryRecvError::Disconnected) => None,
        }
    }

    /// Runs a step of retention if one was requested, if the last one left something to do, or if [`TIDY_EVERY`] has passed.
    fn tidy(&mut self, mut asked: Vec<Reply<Option<Tidied>>>) {
        if asked.is_empty() && !self.is_untidy && self.tidied.elapsed() < TIDY_EVERY {
            return;
        }
        let result = retention::step(&mut self.connection, &mut self.state, &self.retention);
        self.tidied = Instant::now();
        // A failed step is retried after `TIDY_EVERY`, not at once.
        self.is_untidy = matches!(result, Ok(Some(_)));
        match &result {
            Ok(Some(tidied)) if tidied.lost > 0 => {
                tracing::warn!(records = tidied.lost, "the store exceeds its size limit: undelivered records are lost");
            }
            Ok(_) => {}
            Err(error) => {
                self.state.clear();
                tracing::warn!(%error, "cannot delete old records from the store");
            }
        }
        if let Some(reply) = asked.pop() {
            drop(reply.send(result));
        }
        for reply in asked {
            drop(reply.send(Ok(None)));
        }
    }

    /// Writes a group of jobs in one transaction. If that fails, each job is written in its own, so that one bad job does not
    /// make the others fail.
    fn write(&mut self, group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        let committed = commit(&mut self.connection, &mut self.state, &group);
        if committed.is_err() {
            self.state.clear();
        }
        match committed {
            Ok((results, changed)) => {
                self.publish(&results, changed);
                for (job, appended) in group.into_iter().zip(results) {
                    job.answer(Ok(appended));
                }
            }
            Err(error) => match <[Job; 1]>::try_from(group) {
                Ok([job]) => {
                    tracing::error!(%error, "cannot write to the store");
                    job.answer(Err(error));
                }
                Err(group) => {
                    tracing::debug!(%error, "cannot write a group of jobs; retrying each job separately");
                    for job in group {
                        self.write(vec![job]);
                    }
                }
            },
        }
    }

    fn publish(&self, results: &[Appended], changed: BTreeSet<TraceId>) {
        // Without subscribers no summary is built: a later subscriber finds the commit in the list.
        if self.changes.receiver_count() > 0 {
            for trace_id in changed {
                match self.summary(trace_id) {
                    // It fails only if the last receiver was just dropped.
                    Ok(Some(summary)) => drop(self.changes.send(Arc::new(summary))),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, %trace_id, "cannot read a changed trace for the live lists"),
                }
            }
        }
        if results.iter().any(|appended| appended.stored > 0) {
            self.commits.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
    }
}

impl Writer {
    /// Returns the list entry of a trace: from memory if spans were just added to it, else from the file.
    fn summary(&self, trace_id: TraceId) -> Result<Option<Summary>, StoreError> {
        let State { known, terms, .. } = &self.state;
        match known.fold(trace_id) {
            Some(fold) => list::summary_of(trace_id, fold, |term| terms.text(&self.connection, term)).map(Some),
            None => list::summary(&self.connection, trace_id),
        }
    }
}

type Committed = (Vec<Appended>, BTreeSet<TraceId>);

/// Writes a group of jobs in one transaction. It is rolled back when it is dropped without a commit.
fn commit(connection: &mut Connection, state: &mut State, group: &[Job]) -> Result<Committed, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changed = BTreeSet::new();
    // All batches are appended together, so that the spans of a trace are stored together.
    let batches: Vec<&[Span]> = group
        .iter()
        .filter_map(|job| match job {
            Job::Append { spans, .. } => Some(&spans[..]),
            _ => None,
        })
        .collect();
    let mut appended = append(&transaction, state, &batches, &mut changed)?.into_iter();
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        results.push(match job {
            Job::Append { .. } => appended.next().expect("each batch has a result"),
            Job::AppendLogs { records, .. } => append_logs(&transaction, records, &mut changed)?,
            Job::SetCursor { cursor, place, .. } => {
                transaction
                    .prepare_cached(
                        "INSERT INTO sinks (name, cursor) VALUES (?1, ?2)
                         ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor",
                    )?
                    .execute(params![cursor.as_str(), column_ns(*place)])?;
                Appended::default()
            }
            Job::Tidy { .. } | Job::Close { .. } => Appended::default(),
        });
    }
    transaction.commit()?;
    Ok((results, changed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read, schema};
    use throughline_context::SpanId;
    use throughline_otlp::{Resource, Scope};

    fn batch(number: u8, name: &str) -> (Job, oneshot::Receiver<Result<Appended, StoreError>>) {
        let mut span = Span::new(
            TraceId::from_bytes([number; 16]).unwrap(),
            SpanId::from_bytes([1; 8]).unwrap(),
            Arc::new(Resource::default()),
            Arc::new(Scope::default()),
        );
        name.clone_into(&mut span.name);
        let (reply, result) = oneshot::channel();
        let spans = vec![span];
        (Job::Append { spans, reply }, result)
    }

    /// Returns a text that does not compress.
    fn noise(length: usize) -> String {
        let mut state = 1_u32;
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b' ' + (state >> 24) as u8 % 95)
        };
        (0..length).map(|_| letter()).collect()
    }

    /// If one batch of a group does not fit on the disk, the batches before and after it are stored, and no part of it is.
    #[test]
    fn a_batch_that_fails_does_not_affect_its_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("traces.db");
        schema::make_file(dir.path(), &file).unwrap();
        let connection = schema::open_writer(&file).unwrap();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let _: i64 = connection.pragma_update_and_check(None, "max_page_count", pages + 16, |row| row.get(0)).unwrap();
        let (changes, mut changed) = broadcast::channel(16);
        let (_jobs, queue) = mpsc::channel(1);
        let (commits, _) = watch::channel(0);
        let queued_records = Arc::default();
        let state = State::new(&connection).unwrap();
        let mut writer = Writer {
            connection,
            state,
            checkpointer: None,
            jobs: queue,
            queued_records,
            changes,
            commits,
            retention: Retention::default(),
            tidied: Instant::now(),
            is_untidy: false,
        };

        let (first, mut first_result) = batch(1, "small");
        let (large, mut large_result) = batch(2, &noise(1 << 20));
        let (last, mut last_result) = batch(3, "small");
        writer.write(vec![first, large, last]);

        let stored = Appended { stored: 1, duplicates: 0 };
        assert_eq!(first_result.try_recv().unwrap().unwrap(), stored);
        assert!(matches!(large_result.try_recv().unwrap(), Err(StoreError::Full)));
        assert_eq!(last_result.try_recv().unwrap().unwrap(), stored);
        assert_eq!(changed.try_recv().unwrap().trace_id.to_bytes(), [1; 16]);
        assert_eq!(changed.try_recv().unwrap().trace_id.to_bytes(), [3; 16]);
        assert!(changed.try_recv().is_err());
        assert_eq!(*writer.commits.borrow(), 2);

        let counts = read::counts(&writer.connection).unwrap();
        assert_eq!((counts.spans, counts.traces), (2, 2));
        let large = TraceId::from_bytes([2; 16]).unwrap();
        assert_eq!(read::trace(&writer.connection, large).unwrap(), vec![]);
        assert!(read::fold(&writer.connection, large).unwrap().is_none());

        // When there is space again, the same batch is stored, and is not a duplicate.
        let _: i64 = writer
            .connection
            .pragma_update_and_check(None, "max_page_count", pages + 10_000, |row| row.get(0))
            .unwrap();
        let (again, mut again_result) = batch(2, &noise(1 << 20));
        writer.write(vec![again]);
        assert_eq!(again_result.try_recv().unwrap().unwrap(), stored);
        assert_eq!(read::trace(&writer.connection, large).unwrap().len(), 1);
    }
}
