//! The store in one `SQLite` file.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use throughline_context::TraceId;
use throughline_otlp::{LogRecord, Record, Span};
use tokio::sync::{
    broadcast,
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};

use crate::{
    Appended, Counts, ListFilter, Retention, SinkCursor, SpanStore, StoreError, Summary, Tidied, TraceFacts, TraceRun,
    append::State,
    checkpoint::Checkpointer,
    facts, list,
    pool::Pool,
    read, retention, schema,
    writer::{Job, Reply, Writer},
};

/// In its directory.
pub(crate) const FILE: &str = "traces.db";
/// How many jobs may be queued.
const MAX_QUEUED_JOBS: usize = 256;
/// How many spans and log records may be queued, in however few batches. One batch is taken whatever its size.
const MAX_QUEUED_RECORDS: usize = 65_536;
/// How often it is looked for what is too old while nobody writes.
const TIDY_IDLE: Duration = Duration::from_secs(60);
/// How many changes a receiver may lag behind.
const CHANGES: usize = 1024;

/// A store in one `SQLite` file. Clones share it. When the last one is dropped, the writer finishes its queue and closes
/// the file; [`Store::close`] waits for that.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: mpsc::Sender<Job>,
    queued_records: Arc<AtomicUsize>,
    pool: Arc<Pool>,
    changes: broadcast::Sender<Arc<Summary>>,
    commits: watch::Receiver<u64>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file `traces.db` in `dir`; makes both if they are absent, readable for the owner alone. It blocks for
    /// the short while that takes.
    ///
    /// # Errors
    /// [`StoreError::Directory`], [`StoreError::Corrupt`], [`StoreError::NewerFormat`] or another format that is not read,
    /// [`StoreError::Full`], or the database's.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Retention::default())
    }

    /// The same, and what `retention` says goes: while there is something to write, and once a minute.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(dir: &Path, retention: Retention) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        schema::make_file(dir, &file).map_err(StoreError::Directory)?;
        let connection = schema::open_writer(&file)?;
        let state = State::new(&connection)?;
        let (jobs, queue) = mpsc::channel(MAX_QUEUED_JOBS);
        let (changes, _) = broadcast::channel(CHANGES);
        let queued_records = Arc::new(AtomicUsize::new(0));
        let (committed, commits) = watch::channel(0);
        let writer = Writer {
            connection,
            state,
            checkpointer: Some(Checkpointer::start(&file)?),
            jobs: queue,
            queued_records: Arc::clone(&queued_records),
            changes: changes.clone(),
            commits: committed,
            retention,
            tidied: Instant::now(),
            // There may be much to do after a long pause.
            is_untidy: true,
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| StoreError::Sqlite(Box::new(error)))?;
        remind(jobs.downgrade())?;
        Ok(Self { inner: Arc::new(Inner { jobs, queued_records, pool: Arc::new(Pool::new(file)), changes, commits }) })
    }

    /// Writes what is queued and closes the file for writing; all that is asked of any clone afterwards, other than
    /// reading, is [`StoreError::Closed`].
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.inner.jobs.send(Job::Close { reply }).await.is_ok() {
            match closed.await {
                // Without an answer the writer is gone, and the file is closed all the same.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Lets go what the [`Retention`] does not keep, in steps between which others have their turn.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::Full`], or the database's.
    pub async fn tidy(&self) -> Result<Tidied, StoreError> {
        let mut tidied = Tidied::default();
        loop {
            let (reply, result) = oneshot::channel();
            self.inner.jobs.send(Job::Tidy { reply }).await.map_err(|_| StoreError::Closed)?;
            match result.await.map_err(|_| StoreError::Closed)?? {
                Some(step) => tidied.add(step),
                None => return Ok(tidied),
            }
        }
    }

    /// How many spans or log records were removed before the sink of this cursor had them.
    ///
    /// # Errors
    /// The database's.
    pub async fn lost(&self, cursor: &SinkCursor) -> Result<u64, StoreError> {
        let cursor = cursor.clone();
        self.inner.pool.read(move |connection| retention::lost(connection, &cursor)).await
    }

    /// Counts records in, unless there would be too many.
    fn reserve(&self, records: usize) -> Result<(), StoreError> {
        self.inner
            .queued_records
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                let sum = queued.saturating_add(records);
                (queued == 0 || sum <= MAX_QUEUED_RECORDS).then_some(sum)
            })
            .map(|_| ())
            .map_err(|_| StoreError::Busy)
    }

    /// Queues a batch and waits until it is on disk.
    async fn write<R: Record>(
        &self,
        records: Vec<R>,
        job: fn(Vec<R>, Reply<Appended>) -> Job,
    ) -> Result<Appended, StoreError> {
        if records.is_empty() {
            return Ok(Appended::default());
        }
        let count = records.len();
        self.reserve(count)?;
        let (reply, result) = oneshot::channel();
        if let Err(error) = self.inner.jobs.try_send(job(records, reply)) {
            self.inner.queued_records.fetch_sub(count, Ordering::Relaxed);
            return Err(match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Closed(_) => StoreError::Closed,
            });
        }
        result.await.map_err(|_| StoreError::Closed)?
    }
}

/// Has the writer look for what is too old while nobody writes, until the store is gone.
fn remind(jobs: mpsc::WeakSender<Job>) -> Result<(), StoreError> {
    let remind = move || {
        loop {
            thread::sleep(TIDY_IDLE);
            let Some(jobs) = jobs.upgrade() else { return };
            let (reply, _) = oneshot::channel();
            if matches!(jobs.try_send(Job::Tidy { reply }), Err(TrySendError::Closed(_))) {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("store-reminder".to_owned()).spawn(remind);
    thread.map(drop).map_err(|error| StoreError::Sqlite(Box::new(error)))
}

impl SpanStore for Store {
    async fn append(&self, spans: Vec<Span>) -> Result<Appended, StoreError> {
        self.write(spans, |spans, reply| Job::Append { spans, reply }).await
    }

    async fn append_logs(&self, records: Vec<LogRecord>) -> Result<Appended, StoreError> {
        self.write(records, |records, reply| Job::AppendLogs { records, reply }).await
    }

    async fn trace(&self, trace_id: TraceId) -> Result<Vec<Span>, StoreError> {
        self.inner.pool.read(move |connection| read::trace(connection, trace_id)).await
    }

    async fn trace_logs(&self, trace_id: TraceId) -> Result<Vec<LogRecord>, StoreError> {
        self.inner.pool.read(move |connection| read::trace_logs(connection, trace_id)).await
    }

    async fn summary(&self, trace_id: TraceId) -> Result<Option<Summary>, StoreError> {
        self.inner.pool.read(move |connection| list::summary(connection, trace_id)).await
    }

    async fn facts(&self, trace_ids: Vec<TraceId>) -> Result<Vec<TraceFacts>, StoreError> {
        self.inner.pool.read(move |connection| facts::facts(connection, &trace_ids)).await
    }

    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError> {
        self.inner.pool.read(move |connection| list::list(connection, &filter)).await
    }

    async fn after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, Span)>, StoreError> {
        self.inner.pool.read(move |connection| read::after(connection, cursor, limit)).await
    }

    async fn runs_after(&self, cursor: u64, limit: usize) -> Result<Vec<TraceRun>, StoreError> {
        self.inner.pool.read(move |connection| read::runs_after(connection, cursor, limit)).await
    }

    async fn logs_after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, LogRecord)>, StoreError> {
        self.inner.pool.read(move |connection| read::logs_after(connection, cursor, limit)).await
    }

    async fn cursor(&self, cursor: &SinkCursor) -> Result<u64, StoreError> {
        let cursor = cursor.clone();
        self.inner.pool.read(move |connection| read::cursor(connection, &cursor)).await
    }

    async fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> Result<(), StoreError> {
        let (reply, result) = oneshot::channel();
        let job = Job::SetCursor { cursor: cursor.clone(), place, reply };
        let sent = self.inner.jobs.send(job).await;
        sent.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.inner.pool.read(read::counts).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Summary>> {
        self.inner.changes.subscribe()
    }

    fn commits(&self) -> watch::Receiver<u64> {
        let mut commits = self.inner.commits.clone();
        commits.mark_unchanged();
        commits
    }
}
