//! The SQLite database, with one span per statement.

use std::{
    fs::OpenOptions,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior};
use throughline_rusqlite::TracedConnection;
use tracing::Span;

use crate::{error::ApiError, schema};

/// The value of `db.namespace` in spans.
const NAMESPACE: &str = "cruddur";

/// The database of Cruddur.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens or creates `cruddur.db` in `directory`.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("cruddur.db");
        private(&path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        schema::prepare(&mut connection)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Returns whether the database responds to a query.
    pub(crate) async fn is_ready(&self) -> bool {
        self.call(|session| Ok(session.untraced().query_row("SELECT 1", [], |_| Ok(()))?)).await.is_ok()
    }

    /// Runs `work` in one transaction, on a thread where it may block, inside the current span. The transaction is rolled back
    /// on an error.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&TracedConnection<'_>) -> Result<T, ApiError> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let span = Span::current();
        let task = tokio::task::spawn_blocking(move || {
            span.in_scope(|| {
                let mut connection = lock(&connection);
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&TracedConnection::new(&transaction, NAMESPACE))?;
                transaction.commit()?;
                Ok(result)
            })
        });
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The task was cancelled: only when the runtime shuts down.
                Err(_) => {
                    Err(ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping"))
                }
            },
        }
    }
}

/// Creates the file, if it does not exist, readable only by this user; SQLite creates its companion files with the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Locks the connection. A poisoned lock is ignored, because the transaction of the thread that panicked was rolled back.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
