//! Writing the log back into the file, beside the writer: what takes a tenth of a second there is a tenth of a second in which
//! nothing is acknowledged.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use crate::{StoreError, schema};

/// After how many records the log is written back.
const RECORDS: usize = 32_768;
/// After how many bytes of spans.
const BYTES: usize = 8 << 20;
/// After how many commits, where they are small.
const COMMITS: usize = 512;
/// How often in a row: what was committed during the first time is little, and what was during the second next to nothing.
const TIMES: usize = 2;

/// The writer's end of the thread that writes back.
pub(crate) struct Checkpointer {
    requests: SyncSender<()>,
    thread: JoinHandle<()>,
    /// Whether it has just come nearly to the log's end.
    is_near: Arc<AtomicBool>,
    records: usize,
    commits: usize,
    /// How many bytes of spans there were the last time.
    written_bytes: usize,
}

impl Checkpointer {
    /// Starts the thread, over the same file.
    pub(crate) fn start(file: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_checkpointer(file)?;
        // One request waits at most: they are all the same.
        let (requests, asked) = mpsc::sync_channel(1);
        let is_near = Arc::new(AtomicBool::new(false));
        let near = Arc::clone(&is_near);
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&connection, &asked, &near))
            .map_err(|error| StoreError::Sqlite(Box::new(error)))?;
        Ok(Self { requests, thread, is_near, records: 0, commits: 0, written_bytes: 0 })
    }

    /// Notes a commit of the writer's, and how many bytes of spans it has written in all.
    pub(crate) fn committed(&mut self, connection: &Connection, records: usize, written_bytes: usize) {
        if self.is_near.swap(false, Ordering::Relaxed) {
            // Only where nothing is missing does the log begin anew, and only the writer can see to that: what is missing
            // is what it has just written.
            write_back(connection);
        }
        self.records += records;
        self.commits += 1;
        let is_large = written_bytes - self.written_bytes >= BYTES;
        if is_large || self.records >= RECORDS || self.commits >= COMMITS {
            (self.records, self.commits, self.written_bytes) = (0, 0, written_bytes);
            match self.requests.try_send(()) {
                // One that waits already does as well; without a thread SQLite does it by itself, later.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn stop(self) {
        drop(self.requests);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes the store's log back panicked");
        }
    }
}

fn run(connection: &Connection, asked: &Receiver<()>, is_near: &AtomicBool) {
    while asked.recv().is_ok() {
        for _ in 0..TIMES {
            write_back(connection);
        }
        is_near.store(true, Ordering::Relaxed);
    }
}

/// Writes back what can be without waiting for anybody.
fn write_back(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the store's log cannot be written back into the file yet");
    }
}
