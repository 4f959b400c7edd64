//! Small files that are there whole or not at all, readable by their owner only (mode 0600 on Unix).

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

/// Writes `bytes` to the file at `path`, in the place of what was there. After a power cut, it is the old file or the new one.
///
/// # Errors
/// The directory is missing, or a file in it cannot be written, synced or renamed. The file at `path` is then what it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    written(path, bytes)?.persist(path).map_err(|error| error.error)?;
    sync_dir(parent(path))
}

/// Writes `bytes` to a new file at `path`; one that is there already stays as it is.
///
/// # Errors
/// As [`replace`].
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match written(path, bytes)?.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        // The file system has neither a rename that keeps what is there nor hard links.
        Err(error) => drop(error.file.persist(path).map_err(|error| error.error)?),
    }
    sync_dir(parent(path))
}

/// A file with a name of its own beside `path`, written and synced. It is removed when it is dropped.
fn written(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut prefix = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    prefix.push(".");
    let mut file = tempfile::Builder::new().prefix(&prefix).tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The directory of a file that has a name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a new name survive a power cut.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        // Elsewhere a directory cannot be opened.
        return Ok(());
    }
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // There are file systems that cannot sync a directory; the file itself is written.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_new_content_is_there_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.key"]);
    }

    #[test]
    fn a_file_that_is_there_is_kept_by_create() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        create(&path, b"first").unwrap();
        create(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["a.key"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"new").is_err(), "a directory has this name");
        assert_eq!(names(dir.path()), ["a.key"]);
        assert_eq!(replace(&dir.path().join("absent/a.key"), b"").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        create(&path, b"").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"").unwrap();
        assert_eq!(mode(), 0o600);
    }
}
