//! A look at the files of a data directory that changes nothing there: neither their content nor which files there are.

use std::{fs, io, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use crate::{
    Counts, StoreError,
    format::{Format, named},
    metrics, outbox, read, schema,
};

/// How often a file is opened again because a server started or stopped meanwhile.
const ATTEMPTS: usize = 8;
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
/// [`Metrics`](crate::Metrics) can be opened there, without opening any of them for writing. A server may run meanwhile; then its
/// write-ahead log is read as well. Where none runs, nothing in the directory changes: no file is made, and none gets other
/// content or another time of change.
///
/// # Errors
/// [`StoreError::Directory`] if there is no such directory, or the error with which the first file that cannot be opened would
/// be refused.
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

/// How a file has to be opened for nothing to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// There is no write-ahead log, or nothing in it: the file alone has everything.
    Alone,
    /// There is a log with its index, because a server runs or one was killed. The index is opened for reading; SQLite sees
    /// from the locks whether it can be used, or else makes one of its own in memory.
    Shared,
    /// There is a log without an index, which no running server leaves: SQLite makes an index in memory.
    Unindexed,
}

impl Access {
    /// How this file has to be opened; `None` if it is not there.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let length = |end: &str| {
            let mut beside = path.as_os_str().to_owned();
            beside.push(end);
            match fs::metadata(beside) {
                Ok(metadata) => Ok(Some(metadata.len())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        if length("")?.is_none() {
            return Ok(None);
        }
        Ok(Some(match (length("-wal")?, length("-shm")?) {
            (Some(_), Some(_)) => Self::Shared,
            (None | Some(0), _) => Self::Alone,
            (Some(_), None) => Self::Unindexed,
        }))
    }

    fn open(self, path: &Path) -> Result<Connection, StoreError> {
        let path = std::path::absolute(path).map_err(StoreError::Directory)?;
        let encoded = percent_encode(path.as_os_str().as_encoded_bytes(), PATH);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let open = |options: &str| Connection::open_with_flags(format!("file:{encoded}?{options}"), flags);
        let connection = match self {
            Self::Alone => open("immutable=1")?,
            Self::Shared => open("readonly_shm=1")?,
            Self::Unindexed => {
                // Without locks, which need nobody, and with them without an index as a file.
                let connection = open("vfs=unix-none")?;
                connection.pragma_update(None, "locking_mode", "exclusive")?;
                connection
            }
        };
        schema::guard(&connection)?;
        Ok(connection)
    }
}

/// What one of the files is, and what `read` finds in it.
fn file<T>(
    dir: &Path,
    format: &Format,
    read: impl Fn(&Connection, &Path, i64) -> Result<T, StoreError>,
) -> Result<Option<(FileInspection, T)>, StoreError> {
    let path = dir.join(format.file);
    for _ in 0..ATTEMPTS {
        let Some(access) = Access::of(&path).map_err(StoreError::Directory)? else { return Ok(None) };
        let found = look(&path, access, format, &read);
        // What was read without locks counts only if nobody can have written meanwhile.
        if Access::of(&path).map_err(StoreError::Directory)? == Some(access) {
            return found.map(Some);
        }
    }
    Err(StoreError::Busy)
}

fn look<T>(
    path: &Path,
    access: Access,
    format: &Format,
    read: impl Fn(&Connection, &Path, i64) -> Result<T, StoreError>,
) -> Result<(FileInspection, T), StoreError> {
    let connection = access.open(path)?;
    // All reads are of the same state.
    connection.execute_batch("BEGIN")?;
    let version = format.found(&connection, path)?;
    let read = read(&connection, path, version)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0)).map_err(named(path));
    let length = fs::metadata(path).map_err(StoreError::Directory)?.len();
    let expected = pragma("page_count")? * pragma("page_size")?;
    if access == Access::Alone && length < expected {
        return Err(StoreError::Corrupt(format!("{} has {length} bytes of {expected}", path.display())));
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // It may be gone again.
    let log = fs::metadata(log).map_or(0, |metadata| metadata.len());
    Ok((FileInspection { version, bytes: length + log }, read))
}
