//! Inspects the files of a data directory without changing anything: no file is written, created or deleted.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::{
    Counts, StoreError,
    format::{Format, named},
    metrics, outbox, read, schema,
};

/// The number of attempts to read a file that changes while it is read.
const ATTEMPTS: usize = 8;
/// The maximum size of a file with its write-ahead log that is copied. The log of a larger file is not read.
const MAX_COPIED_BYTES: u64 = 512 << 20;
/// The characters that are percent-encoded in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The result of [`inspect`]: the files of a data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// `traces.db`, if it exists.
    pub traces: Option<FileInspection>,
    /// `outbox.db`, if it exists.
    pub outbox: Option<FileInspection>,
    /// `metrics.db`, if it exists.
    pub metrics: Option<FileInspection>,
    /// The number of records in `traces.db`, if it has the version that this program writes.
    pub counts: Option<Counts>,
}

/// One file of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInspection {
    /// The version of its format; 0 if the file is empty.
    pub version: i64,
    /// The size of the file and its write-ahead log.
    pub bytes: u64,
}

/// Checks the files in `dir`: whether [`Store`](crate::Store), [`Outbox`](crate::Outbox) and [`Metrics`](crate::Metrics) can be
/// opened there. No file in the directory is created or opened for writing.
///
/// SQLite needs write access to read a write-ahead log that is not empty, such as a killed server leaves. The file and its log
/// are then copied into a temporary directory, up to 512 MiB. The log of a larger file is not read, and the counts are those of
/// the file alone.
///
/// # Errors
/// [`StoreError::Directory`] if the directory does not exist or the copy fails, [`StoreError::Busy`] if a server keeps writing
/// to the files, or the error that opening the first invalid file would return.
pub fn inspect(dir: &Path) -> Result<Inspection, StoreError> {
    // Without this check, a missing directory would look like an empty one.
    fs::read_dir(dir).map_err(StoreError::Directory)?;
    let traces = file(dir, &schema::FORMAT, |connection, path, version| {
        if version > 0 {
            schema::check_dictionaries(connection, path)?;
        }
        let counts = (version == schema::FORMAT.version()).then(|| read::counts(connection)).transpose()?;
        Ok(counts)
    })?;
    let outbox = file(dir, &outbox::FORMAT, |_, _, _| Ok(()))?;
    let metrics = file(dir, &metrics::FORMAT, |_, _, _| Ok(()))?;
    Ok(Inspection {
        traces: traces.map(|(file, _)| file),
        outbox: outbox.map(|(file, ())| file),
        metrics: metrics.map(|(file, ())| file),
        counts: traces.and_then(|(_, counts)| counts),
    })
}

/// The size and the modification time of a file, to detect whether it was written while it was read.
type Fingerprint = (u64, SystemTime);

/// The state of a file and its write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    file: Fingerprint,
    /// `None` if there is no log, or it is empty.
    log: Option<Fingerprint>,
}

impl State {
    /// Returns the state of a file; `None` if it does not exist.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = fingerprint(path)? else { return Ok(None) };
        Ok(Some(Self { file, log: fingerprint(&log_of(path))?.filter(|(bytes, _)| *bytes > 0) }))
    }

    fn bytes(&self) -> u64 {
        self.file.0 + self.log.map_or(0, |(bytes, _)| bytes)
    }

    /// Opens the file without changing anything: the file itself as `immutable`, or a copy of it.
    fn open(&self, path: &Path) -> Result<Opened, StoreError> {
        let opened = if self.log.is_some() && self.bytes() <= MAX_COPIED_BYTES {
            let dir = tempfile::tempdir().map_err(StoreError::Directory)?;
            let copy = dir.path().join("copy.db");
            fs::copy(path, &copy).map_err(StoreError::Directory)?;
            fs::copy(log_of(path), log_of(&copy)).map_err(StoreError::Directory)?;
            Opened { connection: Connection::open(copy)?, is_copy: true, _dir: Some(dir) }
        } else {
            let path = std::path::absolute(path).map_err(StoreError::Directory)?;
            let encoded = percent_encode(path.as_os_str().as_encoded_bytes(), PATH);
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(format!("file:{encoded}?immutable=1"), flags)?;
            Opened { connection, is_copy: false, _dir: None }
        };
        schema::guard(&opened.connection)?;
        Ok(opened)
    }
}

/// A connection, and the temporary directory of the copy, if it reads one. The fields are dropped in this order, so that the
/// connection is closed first.
struct Opened {
    connection: Connection,
    is_copy: bool,
    _dir: Option<TempDir>,
}

fn fingerprint(path: &Path) -> io::Result<Option<Fingerprint>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.len(), metadata.modified()?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the path of the write-ahead log of a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = OsString::from(path);
    log.push("-wal");
    log.into()
}

/// Inspects one file, and returns the result of `read` for it; `None` if the file does not exist.
fn file<T>(
    dir: &Path,
    format: &Format,
    read: impl Fn(&Connection, &Path, i64) -> Result<T, StoreError>,
) -> Result<Option<(FileInspection, T)>, StoreError> {
    let path = dir.join(format.file);
    for _ in 0..ATTEMPTS {
        let Some(state) = State::of(&path).map_err(StoreError::Directory)? else { return Ok(None) };
        let found = look(&path, state, format, &read);
        // The file was read without locks, so the result is only valid if the file has not changed since.
        if State::of(&path).map_err(StoreError::Directory)? == Some(state) {
            return found.map(Some);
        }
    }
    Err(StoreError::Busy)
}

fn look<T>(
    path: &Path,
    state: State,
    format: &Format,
    read: impl Fn(&Connection, &Path, i64) -> Result<T, StoreError>,
) -> Result<(FileInspection, T), StoreError> {
    let opened = state.open(path)?;
    let connection = &opened.connection;
    // Within one transaction all reads see the same state.
    connection.execute_batch("BEGIN").map_err(named(path))?;
    let version = format.found(connection, path)?;
    let read = read(connection, path, version)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0)).map_err(named(path));
    let expected = pragma("page_count")? * pragma("page_size")?;
    let length = state.file.0;
    if !opened.is_copy && length < expected {
        return Err(StoreError::Corrupt(format!("{} has only {length} of {expected} bytes", path.display())));
    }
    Ok((FileInspection { version, bytes: state.bytes() }, read))
}
