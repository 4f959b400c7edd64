//! The store of metrics: the last point of each series, and a queue of all points for the sinks.
//!
//! It has its own file, `metrics.db`, beside that of the store: points belong to no trace, they arrive rarely, and writing them
//! must not delay spans.

mod append;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use throughline_otlp::{DataPoint, decode_record, decode_resource_scope, encode_record, encode_resource_scope};
use tokio::{sync::watch, task};

use crate::{Appended, SinkCursor, StoreError, fold::column_ns, format::Format, schema};

pub(crate) const FILE: &str = "metrics.db";
/// The format of `metrics.db`.
pub(crate) const FORMAT: Format = Format::new(FILE, b"TLmt", b"THLM", &[TABLES]);

/// The maximum number of series; above the limit, the series that was not updated for the longest time is removed.
pub const MAX_SERIES: usize = 10_000;
/// The maximum number of points that are queued for sinks; above the limit, the oldest are dropped, delivered or not.
pub const MAX_QUEUED_POINTS: usize = 200_000;
/// The maximum size of the points that are queued for sinks, in bytes as stored.
pub const MAX_QUEUED_BYTES: usize = 64 << 20;
/// The maximum size of one point, and of its resource and scope, in bytes as stored.
pub const MAX_POINT_BYTES: usize = 64 << 10;

// `points.seq` is the commit order. `series.key` is a hash of the identity of the series, and `updated` the `seq` of its last
// point. Bodies are protobuf `Metric` messages with one point, without resource and scope.
const TABLES: &str = "
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE series (
    key BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    source_id INTEGER NOT NULL REFERENCES sources (id),
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX series_by_name ON series (name);
CREATE INDEX series_by_update ON series (updated);

CREATE TABLE points (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL REFERENCES sources (id),
    body BLOB NOT NULL
) STRICT;

CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    received INTEGER NOT NULL,
    series INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    queued_bytes INTEGER NOT NULL,
    lost INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (0, 0, 0, 0, 0, 0);
";

/// The number of points and series in the store of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricCounts {
    /// The number of points that were ever received, without duplicates.
    pub received: u64,
    /// The number of series whose last point is stored.
    pub series: u64,
    /// The number of points that are queued for sinks.
    pub queued: u64,
    /// The number of points that were dropped because the queue was full, before a sink had delivered them.
    pub lost: u64,
}

/// The limits of the store of metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    series: usize,
    points: usize,
    bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { series: MAX_SERIES, points: MAX_QUEUED_POINTS, bytes: MAX_QUEUED_BYTES }
    }
}

/// Metrics in one `SQLite` file. Clones share it.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    bounds: Bounds,
    commits: watch::Sender<u64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Opens the file `metrics.db` in `dir`. Both are created if they do not exist, readable only by the owner. It blocks
    /// briefly.
    ///
    /// # Errors
    /// [`StoreError::Directory`], [`StoreError::Corrupt`], [`StoreError::NewerFormat`] or the error of another unsupported
    /// format, [`StoreError::Full`], or an error of the database.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Bounds::default())
    }

    fn open_with(dir: &Path, bounds: Bounds) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        schema::make_file(dir, &file).map_err(StoreError::Directory)?;
        let mut connection = Connection::open(&file)?;
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        // A file of another program must not be changed, so the format is checked first.
        FORMAT.found(&connection, &file)?;
        let _: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "full")?;
        schema::guard(&connection)?;
        FORMAT.upgrade(&mut connection, &file, |_| Ok(()))?;
        let inner = Inner { connection: Mutex::new(connection), bounds, commits: watch::Sender::new(0) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns whether a point is small enough to be stored, with its resource and scope: see [`MAX_POINT_BYTES`].
    #[must_use]
    pub fn fits(point: &DataPoint) -> bool {
        encode_record(point).len() <= MAX_POINT_BYTES
            && encode_resource_scope(&point.resource, &point.scope).len() <= MAX_POINT_BYTES
    }

    /// Stores points, all or none, and resolves once they are on disk. A point that equals the last one of its series is a
    /// duplicate. A point that is older than the last one of its series is only queued.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`], or an error of the database.
    pub async fn append(&self, points: Vec<DataPoint>) -> Result<Appended, StoreError> {
        if points.is_empty() {
            return Ok(Appended::default());
        }
        let inner = Arc::clone(&self.inner);
        let appended = self.write(move |connection| append::append(connection, &points, inner.bounds)).await?;
        if appended.stored > 0 {
            self.inner.commits.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
        Ok(appended)
    }

    /// Returns points in commit order, each with its position, starting after `cursor`; 0 is before the first. Points between
    /// the cursor and the first returned point were dropped.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn metrics_after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, DataPoint)>, StoreError> {
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT points.body, sources.body, seq FROM points JOIN sources ON sources.id = source_id
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = select.query(params![column_ns(cursor), limit])?;
            let mut points = Vec::new();
            while let Some(row) = rows.next()? {
                points.push((row.get(2)?, point(row)?));
            }
            Ok(points)
        })
        .await
    }

    /// Returns the last point of each series, ordered by the metric's name: at most `limit`, and only of the metric `name` if
    /// it is given.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn last_values(&self, name: Option<String>, limit: usize) -> Result<Vec<DataPoint>, StoreError> {
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT series.body, sources.body FROM series JOIN sources ON sources.id = source_id
                 WHERE ?1 IS NULL OR name = ?1 ORDER BY name, key LIMIT ?2",
            )?;
            let mut rows = select.query(params![name, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let mut points = Vec::new();
            while let Some(row) = rows.next()? {
                points.push(point(row)?);
            }
            Ok(points)
        })
        .await
    }

    /// Returns the position of a sink's cursor; 0 if it was never set.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn cursor(&self, cursor: &SinkCursor) -> Result<u64, StoreError> {
        let cursor = cursor.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached("SELECT cursor FROM sinks WHERE name = ?1")?;
            // A sink without a cursor starts before the first point.
            Ok(select.query_row([cursor.as_str()], |row| row.get(0)).optional()?.unwrap_or(0))
        })
        .await
    }

    /// Sets the position of a sink's cursor, and resolves once it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Full`], or an error of the database.
    pub async fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> Result<(), StoreError> {
        let cursor = cursor.clone();
        self.write(move |connection| {
            let mut replace = connection.prepare_cached("REPLACE INTO sinks (name, cursor) VALUES (?1, ?2)")?;
            replace.execute(params![cursor.as_str(), column_ns(place)])?;
            Ok(())
        })
        .await
    }

    /// Returns the number of stored points and series.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn counts(&self) -> Result<MetricCounts, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT received, series, queued, lost FROM totals")?;
            Ok(select.query_row([], |row| {
                Ok(MetricCounts { received: row.get(0)?, series: row.get(1)?, queued: row.get(2)?, lost: row.get(3)? })
            })?)
        })
        .await
    }

    /// Returns a receiver that is notified after each commit that stored points.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.commits.subscribe()
    }

    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        // The only way to fail is that the runtime shuts down.
        task::spawn_blocking(move || read(&inner.connection.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|_| StoreError::Closed)?
    }

    /// Runs `write` in a transaction. It is rolled back when it is dropped without a commit.
    async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let written = task::spawn_blocking(move || {
            let mut connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = write(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        written.await.map_err(|_| StoreError::Closed)?
    }
}

/// Decodes a point from the first two columns of a row: the bodies of the point and of its source.
fn point(row: &Row<'_>) -> Result<DataPoint, StoreError> {
    let damaged = |error: &dyn fmt::Display| StoreError::Corrupt(error.to_string());
    let blob = |column| row.get_ref(column)?.as_blob().map_err(|error| damaged(&error));
    let (resource, scope) = decode_resource_scope(blob(1)?).map_err(|error| damaged(&error))?;
    decode_record(blob(0)?, &resource, &scope).map_err(|error| damaged(&error))
}

#[cfg(test)]
mod tests;
