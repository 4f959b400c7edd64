//! A pool of read-only connections.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, task};

use crate::{StoreError, schema};

/// The maximum number of concurrent reads; further reads wait.
const READERS: usize = 4;

/// A pool of read-only connections, opened on demand.
pub(crate) struct Pool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::new(Vec::with_capacity(READERS)), turns: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs `read` on a thread for blocking operations. It runs to its end even if the future is dropped, and holds its permit
    /// until then.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(self);
        let reading = task::spawn_blocking(move || {
            let connection = pool.take()?;
            let result = read(&connection);
            pool.put(connection);
            drop(turn);
            result
        });
        // It fails only if the runtime shuts down.
        reading.await.map_err(|_| StoreError::Closed)?
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => schema::open_reader(&self.file),
        }
    }

    fn put(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
