//! The thread that writes: whatever is queued goes into one transaction.

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

/// How many jobs one transaction takes in.
const MAX_GROUP_JOBS: usize = 64;
/// After how many spans and log records a transaction takes in no more jobs.
const MAX_GROUP_RECORDS: usize = 8192;

/// How often it is looked for what is too old or too much, while there is something to write.
const TIDY_EVERY: Duration = Duration::from_secs(1);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to be written. Who asked may be gone by the time it is answered.
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
    /// Take one step of [`retention`](crate::retention); what it was, or nothing if there is nothing to do.
    Tidy {
        reply: Reply<Option<Tidied>>,
    },
    /// Take no more jobs, finish those that are queued, close the file, then answer.
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

/// The writer's end of everything.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) state: State,
    /// Absent where the log is written back by the writer.
    pub(crate) checkpointer: Option<Checkpointer>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// How many spans and log records are queued; the store counts up, the writer down.
    pub(crate) queued_records: Arc<AtomicUsize>,
    pub(crate) changes: broadcast::Sender<Arc<Summary>>,
    pub(crate) commits: watch::Sender<u64>,
    pub(crate) retention: Retention,
    /// When the last step was.
    pub(crate) tidied: Instant,
    /// Whether the last step left something to do.
    pub(crate) is_untidy: bool,
}

impl Writer {
    /// Works until all handles are gone or one says that it is enough, and the queue is empty.
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
        // SQLite does it by itself only where no reader is left.
        let written = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = written {
            tracing::debug!(%error, "the store's log is written back at the next start");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the store's file was not closed cleanly");
        }
        for job in closing {
            job.answer(Ok(Appended::default()));
        }
    }

    /// The next job; none yet if there is something to tidy up until then. At the end, nothing.
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

    /// Takes a step of retention where somebody asks for it, where the last one left something to do, and every second.
    fn tidy(&mut self, mut asked: Vec<Reply<Option<Tidied>>>) {
        if asked.is_empty() && !self.is_untidy && self.tidied.elapsed() < TIDY_EVERY {
            return;
        }
        let result = retention::step(&mut self.connection, &mut self.state, &self.retention);
        self.tidied = Instant::now();
        // What failed is tried again, but not at once.
        self.is_untidy = matches!(result, Ok(Some(_)));
        match &result {
            Ok(Some(tidied)) if tidied.lost > 0 => {
                tracing::warn!(records = tidied.lost, "the store is too large: what a sink did not have yet is lost");
            }
            Ok(_) => {}
            Err(error) => {
                self.state.clear();
                tracing::warn!(%error, "the store cannot remove what is old");
            }
        }
        if let Some(reply) = asked.pop() {
            drop(reply.send(result));
        }
        for reply in asked {
            drop(reply.send(Ok(None)));
        }
    }

    /// Writes a group in one transaction; if that fails, each job in its own, so that none suffers for another.
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
                    tracing::error!(%error, "the store cannot write");
                    job.answer(Err(error));
                }
                Err(group) => {
                    tracing::debug!(%error, "writing the jobs of a group one by one");
                    for job in group {
                        self.write(vec![job]);
                    }
                }
            },
        }
    }

    fn publish(&self, results: &[Appended], changed: BTreeSet<TraceId>) {
        // Without a subscriber nothing is made: a new one sees the commit in the list.
        if self.changes.receiver_count() > 0 {
            for trace_id in changed {
                match self.summary(trace_id) {
                    // It fails only where the last receiver has just gone.
                    Ok(Some(summary)) => drop(self.changes.send(Arc::new(summary))),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, %trace_id, "a changed trace is not shown in live lists"),
                }
            }
        }
        if results.iter().any(|appended| appended.stored > 0) {
            self.commits.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
    }
}

impl Writer {
    /// What a list shows of a trace: from memory if it has just got spans, else from the file.
    fn summary(&self, trace_id: TraceId) -> Result<Option<Summary>, StoreError> {
        let State { known, terms, .. } = &self.state;
        match known.fold(trace_id) {
            Some(fold) => list::summary_of(trace_id, fold, |term| terms.text(&self.connection, term)).map(Some),
            None => list::summary(&self.connection, trace_id),
        }
    }
}

type Committed = (Vec<Appended>, BTreeSet<TraceId>);

/// All or nothing: a transaction that is not committed is rolled back when it is dropped.
fn commit(connection: &mut Connection, state: &mut State, group: &[Job]) -> Result<Committed, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changed = BTreeSet::new();
    // All spans at once: those of a trace are put together, whoever sent them.
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

    /// A text that does not get smaller.
    fn noise(length: usize) -> String {
        let mut state = 1_u32;
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b' ' + (state >> 24) as u8 % 95)
        };
        (0..length).map(|_| letter()).collect()
    }

    /// A batch that does not fit on the disk fails alone: those before and after it in its group are stored, and
    /// nothing of it is.
    #[test]
    fn one_batch_in_a_group_fails_alone() {
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

        // When there is room again, it goes on, and the same batch is no duplicate.
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
