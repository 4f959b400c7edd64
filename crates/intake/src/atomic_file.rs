//! Small files that are written atomically and are readable by their owner only (mode 0600 on Unix).

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

/// Writes `bytes` to the file at `path` and replaces an existing one. After a power cut, the file has either the old or
/// the new content.
///
/// # Errors
/// Returns an error if the directory does not exist, or if a file in it cannot be written, synced or renamed. The file
/// at `path` is then unchanged.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_temporary(path, bytes)?.persist(path).map_err(|error| error.error)?;
    sync_dir(parent(path))
}

/// Writes `bytes` to a new file at `path`; an existing file is left unchanged.
///
/// # Errors
/// The same as for [`replace`].
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match write_temporary(path, bytes)?.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        // The file system supports neither a rename without overwriting nor hard links.
        Err(error) => drop(error.file.persist(path).map_err(|error| error.error)?),
    }
    sync_dir(parent(path))
}

/// Writes and syncs a temporary file in the directory of `path`. The file is removed when the handle is dropped.
fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut prefix = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    prefix.push(".");
    let mut file = tempfile::Builder::new().prefix(&prefix).tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Returns the directory of a file.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Syncs a directory, so that a new file name survives a power cut.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        // Other systems cannot open a directory.
        return Ok(());
    }
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // Some file systems cannot sync a directory; the file itself is written.
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
    fn replace_overwrites_and_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.key"]);
    }

    #[test]
    fn create_keeps_an_existing_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        create(&path, b"first").unwrap();
        create(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["a.key"]);
    }

    #[test]
    fn a_failed_replace_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"new").is_err(), "a directory has this name");
        assert_eq!(names(dir.path()), ["a.key"]);
        assert_eq!(replace(&dir.path().join("absent/a.key"), b"").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_readable_by_its_owner_only() {
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
