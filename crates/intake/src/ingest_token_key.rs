//! The key that signs ingest tokens.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::{ExposeSecret as _, SecretBox, zeroize::Zeroizing};

use crate::atomic_file;

pub(crate) const FILE_NAME: &str = "ingest-token.key";
pub(crate) const LENGTH: usize = 32;

/// A key that signs ingest tokens: 32 random bytes. `Debug` does not show them, clones share them, and their memory is
/// overwritten when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct IngestTokenKey(Arc<SecretBox<[u8; LENGTH]>>);

/// Why a key cannot be loaded or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestTokenKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the ingest token key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not hold a key. If it is removed, a new key is created, and all ingest tokens become invalid.
    #[error("the ingest token key file {} has {found} bytes, expected {LENGTH}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The size of the file, in bytes.
        found: usize,
    },
    /// The system's random source failed.
    #[error("cannot generate an ingest token key: {0}")]
    Random(#[source] getrandom::Error),
}

impl IngestTokenKey {
    /// Creates a key from bytes, such as those of a setting; they should be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// Generates a random key.
    ///
    /// # Errors
    /// Returns [`IngestTokenKeyError::Random`] if the system's random source fails.
    pub fn random() -> Result<Self, IngestTokenKeyError> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        getrandom::fill(bytes.as_mut()).map_err(IngestTokenKeyError::Random)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// Loads the key from the file `ingest-token.key` of this directory. If the file does not exist, it is created,
    /// readable by its owner only (mode 0600). If several processes create it at once, all of them get the same key.
    ///
    /// # Errors
    /// Returns an error if the directory does not exist, if the file cannot be read or written, or if it does not hold
    /// 32 bytes.
    pub fn load_or_create(dir: &Path) -> Result<Self, IngestTokenKeyError> {
        let path = dir.join(FILE_NAME);
        let file = |source| IngestTokenKeyError::File { path: path.clone(), source };
        let read = || fs::read(&path).map(Zeroizing::new);
        let bytes = match read() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                atomic_file::create(&path, Self::random()?.as_bytes()).map_err(file)?;
                read()
            }
            bytes => bytes,
        };
        Self::parse(&path, &bytes.map_err(file)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, IngestTokenKeyError> {
        match <[u8; LENGTH]>::try_from(bytes) {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(_) => Err(IngestTokenKeyError::Length { path: path.to_owned(), found: bytes.len() }),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; LENGTH] {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_key_is_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let created = IngestTokenKey::load_or_create(dir.path()).unwrap();
        let loaded = IngestTokenKey::load_or_create(dir.path()).unwrap();
        assert_eq!(created.as_bytes(), loaded.as_bytes());
        assert_ne!(created.as_bytes(), &[0; LENGTH]);
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE_NAME], "no temporary file is left");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        IngestTokenKey::load_or_create(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn concurrent_creation_yields_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| IngestTokenKey::load_or_create(dir.path()).unwrap())).collect();
            threads.into_iter().map(|thread| *thread.join().unwrap().as_bytes()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), "short").unwrap();
        let error = IngestTokenKey::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, IngestTokenKeyError::Length { found: 5, .. }), "{error}");
        assert_eq!(fs::read(dir.path().join(FILE_NAME)).unwrap(), b"short");
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let shown = format!("{:?}", IngestTokenKey::from_bytes([7; LENGTH]));
        assert!(shown.contains("REDACTED") && !shown.contains('7'), "{shown}");
    }
}
