//! A look at the files of a data directory that changes nothing there: neither their content nor which files there are.

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

/// How often a file is read again because it changed meanwhile.
const ATTEMPTS: usize = 8;
/// A file with its log is copied up to this size. Of a larger one the log is not read.
const MOST_COPIED_BYTES: u64 = 512 << 20;
/// What is written as it is in a path that is part of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The files of a data directory, as [`inspect`] found them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// `traces.db`, if there is one.
    pub traces: Option<FileInspection>,
    /// `outbox.db`, if there is one.
    pub outbox: Option<FileInspection>,
    /// `metrics.db`, if there is one.
    pub metrics: Option<FileInspection>,
    /// How much is in `traces.db`, if it is of the version that this program writes.
    pub counts: Option<Counts>,
}

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInspection {
    /// The version of its format; 0 if there is nothing in it yet.
    pub version: i64,
    /// Its size and that of its write-ahead log.
    pub bytes: u64,
}

/// Reads what the files in `dir` are and whether [`Store`](crate::Store), [`Outbox`](crate::Outbox) and
/// [`Metrics`](crate::Metrics) can be opened there. No file in the directory is created or opened for writing.
///
/// A write-ahead log that has something in it, as a killed server leaves it, can only be read by SQLite with write access: the file
/// and its log are then copied into a temporary directory, up to 512 MiB. Of a larger file the log is not read, and the counts are
/// those of the file alone.
///
/// # Errors
/// [`StoreError::Directory`] if there is no such directory or the copy cannot be made, [`StoreError::Busy`] if a server keeps writing
/// meanwhile, or the error with which the first file that cannot be opened would be refused.
pub fn inspect(dir: &Path) -> Result<Inspection, StoreError> {
    // An error that says what is wrong with the directory.
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

/// The size of a file and when it changed, to see whether it was written to meanwhile.
type Fingerprint = (u64, SystemTime);

/// A file and its write-ahead log, as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    file: Fingerprint,
    /// `None` if there is no log, or nothing in it.
    log: Option<Fingerprint>,
}

impl State {
    /// The state of this file; `None` if there is no such file.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = fingerprint(path)? else { return Ok(None) };
        Ok(Some(Self { file, log: fingerprint(&log_of(path))?.filter(|(bytes, _)| *bytes > 0) }))
    }

    fn bytes(&self) -> u64 {
        self.file.0 + self.log.map_or(0, |(bytes, _)| bytes)
    }

    /// Opens the file so that nothing changes: the file itself, as one that nobody changes, or a copy of it.
    fn open(&self, path: &Path) -> Result<Opened, StoreError> {
        let opened = if self.log.is_some() && self.bytes() <= MOST_COPIED_BYTES {
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

/// A connection, and the directory of the copy that it reads, if it reads one: the connection is closed first.
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

/// The write-ahead log of a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = OsString::from(path);
    log.push("-wal");
    log.into()
}

/// What one of the files is, and what `read` finds in it.
fn file<T>(
    dir: &Path,
    format: &Format,
    read: impl Fn(&Connection, &Path, i64) -> Result<T, StoreError>,
) -> Result<Option<(FileInspection, T)>, StoreError> {
    let path = dir.join(format.file);
    for _ in 0..ATTEMPTS {
        let Some(state) = State::of(&path).map_err(StoreError::Directory)? else { return Ok(None) };
        let found = look(&path, state, format, &read);
        // What was read without locks counts only if nobody has written meanwhile.
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
    // All reads are of the same state.
    connection.execute_batch("BEGIN").map_err(named(path))?;
    let version = format.found(connection, path)?;
    let read = read(connection, path, version)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0)).map_err(named(path));
    let expected = pragma("page_count")? * pragma("page_size")?;
    let length = state.file.0;
    if !opened.is_copy && length < expected {
        return Err(StoreError::Corrupt(format!("{} has {length} bytes of {expected}", path.display())));
    }
    Ok((FileInspection { version, bytes: state.bytes() }, read))
}
