//! The store in one `SQLite` file.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use throughline_otlp::{Span, context::TraceId};
use tokio::sync::{
    broadcast,
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{
    Appended, Counts, ListFilter, SpanStore, StoreError, Summary, list,
    pool::Pool,
    read, schema,
    writer::{Job, Writer},
};

const FILE: &str = "traces.db";
/// How many jobs may be queued.
const MAX_QUEUED_JOBS: usize = 256;
/// How many spans may be queued, in however few batches. One batch is taken whatever its size.
const MAX_QUEUED_SPANS: usize = 65_536;
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
    queued_spans: Arc<AtomicUsize>,
    pool: Arc<Pool>,
    changes: broadcast::Sender<TraceId>,
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
    /// [`StoreError::Directory`], [`StoreError::Corrupt`], [`StoreError::NewerSchema`], [`StoreError::Full`], or the
    /// database's.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        schema::make_file(dir, &file).map_err(StoreError::Directory)?;
        let connection = schema::open_writer(&file)?;
        let (jobs, queue) = mpsc::channel(MAX_QUEUED_JOBS);
        let (changes, _) = broadcast::channel(CHANGES);
        let queued_spans = Arc::new(AtomicUsize::new(0));
        let writer =
            Writer { connection, jobs: queue, queued_spans: Arc::clone(&queued_spans), changes: changes.clone() };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| StoreError::Sqlite(Box::new(error)))?;
        Ok(Self { inner: Arc::new(Inner { jobs, queued_spans, pool: Arc::new(Pool::new(file)), changes }) })
    }

    /// Writes what is queued and closes the file for writing; all that is asked of any clone afterwards, other than
    /// reading, is [`StoreError::Closed`].
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.inner.jobs.send(Job::Close { reply }).await.is_ok() {
            // An error means that it is closed already.
            let _ = closed.await;
        }
    }

    /// Counts spans in, unless there would be too many.
    fn reserve(&self, spans: usize) -> Result<(), StoreError> {
        self.inner
            .queued_spans
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                let sum = queued.saturating_add(spans);
                (queued == 0 || sum <= MAX_QUEUED_SPANS).then_some(sum)
            })
            .map(|_| ())
            .map_err(|_| StoreError::Busy)
    }
}

impl SpanStore for Store {
    async fn append(&self, spans: Vec<Span>) -> Result<Appended, StoreError> {
        if spans.is_empty() {
            return Ok(Appended::default());
        }
        let count = spans.len();
        self.reserve(count)?;
        let (reply, result) = oneshot::channel();
        if let Err(error) = self.inner.jobs.try_send(Job::Append { spans, reply }) {
            self.inner.queued_spans.fetch_sub(count, Ordering::Relaxed);
            return Err(match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Closed(_) => StoreError::Closed,
            });
        }
        result.await.map_err(|_| StoreError::Closed)?
    }

    async fn trace(&self, trace_id: TraceId) -> Result<Vec<Span>, StoreError> {
        self.inner.pool.read(move |connection| read::trace(connection, trace_id)).await
    }

    async fn summary(&self, trace_id: TraceId) -> Result<Option<Summary>, StoreError> {
        self.inner.pool.read(move |connection| list::summary(connection, trace_id)).await
    }

    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError> {
        self.inner.pool.read(move |connection| list::list(connection, &filter)).await
    }

    async fn after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, Span)>, StoreError> {
        self.inner.pool.read(move |connection| read::after(connection, cursor, limit)).await
    }

    async fn cursor(&self, sink: &str) -> Result<u64, StoreError> {
        let sink = sink.to_owned();
        self.inner.pool.read(move |connection| read::cursor(connection, &sink)).await
    }

    async fn set_cursor(&self, sink: &str, cursor: u64) -> Result<(), StoreError> {
        let (reply, result) = oneshot::channel();
        let sink = sink.to_owned();
        let job = Job::SetCursor { sink, cursor, reply };
        let sent = self.inner.jobs.send(job).await;
        sent.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.inner.pool.read(read::counts).await
    }

    fn subscribe(&self) -> broadcast::Receiver<TraceId> {
        self.inner.changes.subscribe()
    }
}
