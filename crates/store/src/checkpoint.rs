//! A thread that checkpoints the write-ahead log. In the writer, a checkpoint would delay all acknowledgements, by up to a tenth
//! of a second.

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

/// The number of records after which a checkpoint runs.
const RECORDS: usize = 32_768;
/// The size of written blocks, in bytes, after which a checkpoint runs.
const BYTES: usize = 8 << 20;
/// The number of commits after which a checkpoint runs, if they are small.
const COMMITS: usize = 512;
/// The number of consecutive checkpoints: the second writes the little that was committed during the first, so that almost
/// nothing is left.
const TIMES: usize = 2;

/// The writer's handle of the checkpoint thread.
pub(crate) struct Checkpointer {
    requests: SyncSender<()>,
    thread: JoinHandle<()>,
    /// Whether a checkpoint has just reached almost the end of the log.
    is_near: Arc<AtomicBool>,
    records: usize,
    commits: usize,
    /// The writer's total of written bytes at the last request.
    written_bytes: usize,
}

impl Checkpointer {
    /// Starts the thread, with its own connection to the file.
    pub(crate) fn start(file: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_checkpointer(file)?;
        // At most one request waits: all requests are the same.
        let (requests, asked) = mpsc::sync_channel(1);
        let is_near = Arc::new(AtomicBool::new(false));
        let near = Arc::clone(&is_near);
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&connection, &asked, &near))
            .map_err(|error| StoreError::Sqlite(Box::new(error)))?;
        Ok(Self { requests, thread, is_near, records: 0, commits: 0, written_bytes: 0 })
    }

    /// Records a commit of the writer, and requests a checkpoint if one is due. `written_bytes` is the total size of all blocks
    /// written so far.
    pub(crate) fn committed(&mut self, connection: &Connection, records: usize, written_bytes: usize) {
        if self.is_near.swap(false, Ordering::Relaxed) {
            // The log restarts from its beginning only after a complete checkpoint. Only the writer can complete it, because
            // the remaining pages are those that it has just written.
            write_back(connection);
        }
        self.records += records;
        self.commits += 1;
        let is_large = written_bytes - self.written_bytes >= BYTES;
        if is_large || self.records >= RECORDS || self.commits >= COMMITS {
            (self.records, self.commits, self.written_bytes) = (0, 0, written_bytes);
            match self.requests.try_send(()) {
                // A waiting request is enough. If the thread has stopped, the writer's connection checkpoints, only later.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }

    /// Stops the thread, and waits for its end.
    pub(crate) fn stop(self) {
        drop(self.requests);
        if self.thread.join().is_err() {
            tracing::error!("the store's checkpoint thread panicked");
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

/// Checkpoints as much of the log as is possible without waiting for readers and writers.
fn write_back(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "cannot checkpoint the store's write-ahead log; retrying later");
    }
}
