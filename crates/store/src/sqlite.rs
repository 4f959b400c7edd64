//! The store of spans and log records in one `SQLite` file.

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

/// The name of the file in its directory.
pub(crate) const FILE: &str = "traces.db";
/// The maximum number of queued jobs.
const MAX_QUEUED_JOBS: usize = 256;
/// The maximum number of queued spans and log records. A batch of any size is accepted if the queue is empty.
const MAX_QUEUED_RECORDS: usize = 65_536;
/// The interval between retention steps while nothing is written.
const TIDY_IDLE: Duration = Duration::from_secs(60);
/// The number of changes that a subscriber may lag behind.
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
    /// Opens the file `traces.db` in `dir`. Both are created if they do not exist, readable only by the owner. It blocks
    /// briefly.
    ///
    /// # Errors
    /// [`StoreError::Directory`], [`StoreError::Corrupt`], [`StoreError::NewerFormat`] or the error of another unsupported
    /// format, [`StoreError::Full`], or an error of the database.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Retention::default())
    }

    /// Opens the store as [`Store::open`] does, and deletes records that exceed `retention`: once a second while records are
    /// written, and once a minute otherwise.
    ///
    /// # Errors
    /// Same as [`Store::open`].
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
            // Many records may have expired while the store was not open.
            is_untidy: true,
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| StoreError::Sqlite(Box::new(error)))?;
        remind(jobs.downgrade())?;
        Ok(Self { inner: Arc::new(Inner { jobs, queued_records, pool: Arc::new(Pool::new(file)), changes, commits }) })
    }

    /// Writes the queued batches and closes the file for writing. After that, every write on any clone returns
    /// [`StoreError::Closed`]; reads still work.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.inner.jobs.send(Job::Close { reply }).await.is_ok() {
            match closed.await {
                // If there is no reply, the writer has stopped, and the file is closed as well.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Deletes all records that exceed the [`Retention`], in small steps between which other jobs are written.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::Full`], or an error of the database.
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

    /// Returns the number of spans or log records that were deleted before the sink of this cursor had delivered them.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn lost(&self, cursor: &SinkCursor) -> Result<u64, StoreError> {
        let cursor = cursor.clone();
        self.inner.pool.read(move |connection| retention::lost(connection, &cursor)).await
    }

    /// Reserves room for records in the queue.
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

/// Starts a thread that requests a retention step every [`TIDY_IDLE`], until the store is dropped.
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
