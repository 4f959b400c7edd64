//! The key that tickets are signed with.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

pub(crate) const FILE_NAME: &str = "ticket.key";
pub(crate) const LENGTH: usize = 32;

/// 32 random bytes. Its `Debug` does not show them.
#[derive(Clone)]
pub struct TicketKey([u8; LENGTH]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    /// The file cannot be read or made.
    #[error("cannot use the ticket key file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what was made here. Removing it makes a new key, and tickets issued so far worthless.
    #[error("the ticket key file {} has {found} bytes instead of {LENGTH}", path.display())]
    Length {
        /// Which.
        path: PathBuf,
        /// How many bytes it has.
        found: usize,
    },
    /// The system has no randomness to give.
    #[error("no randomness for a ticket key: {0}")]
    Random(#[source] getrandom::Error),
}

impl TicketKey {
    /// A key that is known from elsewhere; it should be random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// A new key, which lasts as long as the process.
    ///
    /// # Errors
    /// [`TicketKeyError::Random`].
    pub fn random() -> Result<Self, TicketKeyError> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(TicketKeyError::Random)?;
        Ok(Self(bytes))
    }

    /// The key in the file `ticket.key` of this directory. Where there is none, one is made, readable by its owner only
    /// (mode 0600). Of several that do so at once one wins, and all get its key.
    ///
    /// # Errors
    /// The directory is not there, or the file cannot be read, written or does not hold 32 bytes.
    pub fn load_or_create(dir: &Path) -> Result<Self, TicketKeyError> {
        let path = dir.join(FILE_NAME);
        let file = |source| TicketKeyError::File { path: path.clone(), source };
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(dir, &path)?;
                Self::parse(&path, &fs::read(&path).map_err(file)?)
            }
            read => Self::parse(&path, &read.map_err(file)?),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TicketKeyError> {
        match <[u8; LENGTH]>::try_from(bytes) {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(TicketKeyError::Length { path: path.to_owned(), found: bytes.len() }),
        }
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

/// Writes a new key beside `path` and gives it that name, unless the name is taken by then.
fn create(dir: &Path, path: &Path) -> Result<(), TicketKeyError> {
    let file = |source| TicketKeyError::File { path: path.to_owned(), source };
    let key = TicketKey::random()?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(TicketKeyError::Random)?;
    let unfinished = dir.join(format!("{FILE_NAME}.{:016x}", u64::from_ne_bytes(suffix)));
    let named = write(&unfinished, key.as_bytes()).and_then(|()| name(&unfinished, path));
    // After a rename it is gone already.
    let _ = fs::remove_file(&unfinished);
    named.map_err(file)?;
    // So that the name survives a power cut; not every system can sync a directory.
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
    Ok(())
}

/// Writes a file of this name beside what is there, and puts it in its place.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), TicketKeyError> {
    let path = dir.join(name);
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(TicketKeyError::Random)?;
    let unfinished = dir.join(format!("{name}.{:016x}", u64::from_ne_bytes(suffix)));
    let replaced = write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &path));
    replaced.map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        TicketKeyError::File { path, source }
    })?;
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A hard link never replaces what is there; a rename does, and is for file systems without hard links.
fn name(unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::rename(unfinished, path),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays() {
        let dir = tempfile::tempdir().unwrap();
        let made = TicketKey::load_or_create(dir.path()).unwrap();
        let loaded = TicketKey::load_or_create(dir.path()).unwrap();
        assert_eq!(made.as_bytes(), loaded.as_bytes());
        assert_ne!(made.as_bytes(), &[0; LENGTH]);
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE_NAME], "nothing unfinished is left");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        TicketKey::load_or_create(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn all_who_make_it_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| TicketKey::load_or_create(dir.path()).unwrap())).collect();
            threads.into_iter().map(|thread| *thread.join().unwrap().as_bytes()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_damaged_file_is_said_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), "short").unwrap();
        let error = TicketKey::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, TicketKeyError::Length { found: 5, .. }), "{error}");
        assert_eq!(fs::read(dir.path().join(FILE_NAME)).unwrap(), b"short");
    }

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", TicketKey::from_bytes([7; LENGTH])), "TicketKey(..)");
    }
}
