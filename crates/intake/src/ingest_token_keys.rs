//! A set of ingest token keys: the current one signs, and tokens of earlier ones stay valid until they expire.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secrecy::zeroize::Zeroizing;

use crate::{
    IngestToken, IngestTokenError, IngestTokenKey, IngestTokenKeyError, SessionId, atomic_file,
    ingest_token::Claims,
    ingest_token_key::{FILE_NAME, LENGTH},
};

/// The file of replaced keys, each with the time at which it was replaced.
const OLD_FILE_NAME: &str = "ingest-token.key.old";
/// The length of an entry: a key and Unix seconds, big-endian.
const OLD_LENGTH: usize = LENGTH + 8;
/// The maximum lifetime of an ingest token; replaced keys are kept for as long.
const LONGEST_TTL: Duration = Duration::from_hours(24);

/// The key that signs ingest tokens, and the keys that it replaced.
#[derive(Clone, Debug)]
pub struct IngestTokenKeys {
    current: IngestTokenKey,
    /// Earlier keys, with the Unix seconds until which each is trusted; `None` is forever.
    before: Vec<(IngestTokenKey, Option<u64>)>,
}

impl From<IngestTokenKey> for IngestTokenKeys {
    fn from(current: IngestTokenKey) -> Self {
        Self { current, before: Vec::new() }
    }
}

impl IngestTokenKeys {
    /// Creates a set of keys from settings. `current` signs; ingest tokens of the others are valid for as long as this
    /// set is used.
    #[must_use]
    pub fn new(current: IngestTokenKey, others: Vec<IngestTokenKey>) -> Self {
        Self { current, before: others.into_iter().map(|key| (key, None)).collect() }
    }

    /// Loads the key from the file `ingest-token.key` of this directory, which is created if it does not exist, and the
    /// keys that were replaced less than `ttl` ago. `ttl` is how long an ingest token is valid.
    ///
    /// # Errors
    /// The same as for [`IngestTokenKey::load_or_create`].
    pub fn load_or_create(dir: &Path, ttl: Duration) -> Result<Self, IngestTokenKeyError> {
        let current = IngestTokenKey::load_or_create(dir)?;
        let until = |replaced_s: u64| replaced_s.saturating_add(ttl.as_secs());
        let before = old_keys(dir)?.into_iter().map(|(key, replaced_s)| (key, Some(until(replaced_s)))).collect();
        Ok(Self { current, before })
    }

    /// Writes a new key to the file `ingest-token.key` of this directory and keeps the old key in a second file, so
    /// that its ingest tokens stay valid until they expire. Both files are readable by their owner only.
    ///
    /// # Errors
    /// The same as for [`IngestTokenKey::load_or_create`].
    pub fn rotate(dir: &Path) -> Result<(), IngestTokenKeyError> {
        // A clock before 1970 is read as 1970: the old key is then no longer trusted once the clock is corrected.
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let current = IngestTokenKey::load_or_create(dir)?;
        let mut old = old_keys(dir)?;
        old.retain(|(_, replaced_s)| replaced_s.saturating_add(LONGEST_TTL.as_secs()) > now_s);
        old.push((current, now_s));
        let old: Vec<u8> =
            old.iter().flat_map(|(key, at_s)| key.as_bytes().iter().copied().chain(at_s.to_be_bytes())).collect();
        let old = Zeroizing::new(old);
        // The old key is written first, so that a crash between the two writes does not lose it.
        replace(dir.join(OLD_FILE_NAME), &old)?;
        replace(dir.join(FILE_NAME), IngestTokenKey::random()?.as_bytes())
    }

    /// Returns when the key file of this directory last changed. If the time differs from an earlier one, the keys
    /// should be loaded again with [`IngestTokenKeys::load_or_create`].
    #[must_use]
    pub fn changed_at(dir: &Path) -> Option<SystemTime> {
        fs::metadata(dir.join(FILE_NAME)).ok()?.modified().ok()
    }

    /// Issues an ingest token with the current key; see [`IngestToken::issue`].
    #[must_use]
    pub fn issue(&self, session_id: SessionId, service: &str, now_s: u64, ttl: Duration) -> String {
        IngestToken::issue(&self.current, session_id, service, now_s, ttl)
    }

    /// Verifies an ingest token with each key that is trusted at `now_s` (Unix seconds); see [`IngestToken::verify`].
    ///
    /// # Errors
    /// The same as for [`IngestToken::verify`].
    pub fn verify(&self, service: &str, ingest_token: &str, now_s: u64) -> Result<Claims, IngestTokenError> {
        let before = self.before.iter().filter(|(_, until_s)| until_s.is_none_or(|until_s| now_s < until_s));
        let mut result = IngestToken::verify(&self.current, service, ingest_token, now_s);
        for (key, _) in before {
            if result != Err(IngestTokenError::Forged) {
                break;
            }
            result = IngestToken::verify(key, service, ingest_token, now_s);
        }
        result
    }
}

fn replace(path: PathBuf, bytes: &[u8]) -> Result<(), IngestTokenKeyError> {
    atomic_file::replace(&path, bytes).map_err(|source| IngestTokenKeyError::File { path, source })
}

fn old_keys(dir: &Path) -> Result<Vec<(IngestTokenKey, u64)>, IngestTokenKeyError> {
    let path: PathBuf = dir.join(OLD_FILE_NAME);
    let bytes = match fs::read(&path).map(Zeroizing::new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| IngestTokenKeyError::File { path: path.clone(), source })?,
    };
    let (entries, rest) = bytes.as_chunks::<OLD_LENGTH>();
    if !rest.is_empty() {
        return Err(IngestTokenKeyError::Length { path, found: bytes.len() });
    }
    let split = |entry: &[u8; OLD_LENGTH]| {
        let (mut key, mut at_s) = ([0; LENGTH], [0; 8]);
        key.copy_from_slice(&entry[..LENGTH]);
        at_s.copy_from_slice(&entry[LENGTH..]);
        (IngestTokenKey::from_bytes(key), u64::from_be_bytes(at_s))
    };
    Ok(entries.iter().map(split).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(900);

    fn session() -> SessionId {
        SessionId::from_bytes([7; 16])
    }

    fn now_s() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn a_token_of_a_replaced_key_is_valid_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let now_s = now_s();
        let before = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap();
        let old = before.issue(session(), "web", now_s, TTL);
        IngestTokenKeys::rotate(dir.path()).unwrap();
        let after = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap();
        let new = after.issue(session(), "web", now_s, TTL);
        assert!(after.verify("web", &old, now_s + 899).is_ok());
        assert!(after.verify("web", &old, now_s + 900).is_err());
        assert!(after.verify("web", &new, now_s).is_ok());
        assert_eq!(before.verify("web", &new, now_s), Err(IngestTokenError::Forged));
    }

    /// A stolen old key must not sign valid ingest tokens forever.
    #[test]
    fn a_replaced_key_is_trusted_only_for_the_lifetime_of_its_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let old = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap();
        IngestTokenKeys::rotate(dir.path()).unwrap();
        let after = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap();
        let late_s = now_s() + 1_000;
        let forged = old.issue(session(), "web", late_s, TTL);
        assert_eq!(after.verify("web", &forged, late_s), Err(IngestTokenError::Forged));
    }

    #[test]
    fn two_rotations_keep_both_old_keys() {
        let dir = tempfile::tempdir().unwrap();
        let now_s = now_s();
        let ingest_tokens: Vec<_> = (0..3)
            .map(|_| {
                let keys = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap();
                IngestTokenKeys::rotate(dir.path()).unwrap();
                keys.issue(session(), "web", now_s, TTL)
            })
            .collect();
        let keys = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap();
        assert!(ingest_tokens.iter().all(|ingest_token| keys.verify("web", ingest_token, now_s).is_ok()));
    }

    #[cfg(unix)]
    #[test]
    fn the_files_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        IngestTokenKeys::rotate(dir.path()).unwrap();
        let modes: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
            .collect();
        assert_eq!(modes, [0o600, 0o600]);
    }

    #[test]
    fn tokens_of_further_keys_from_settings_are_valid() {
        let key = |number| IngestTokenKey::from_bytes([number; LENGTH]);
        let old = IngestTokenKeys::from(key(1)).issue(session(), "web", 1_000, TTL);
        assert!(IngestTokenKeys::new(key(2), vec![key(1)]).verify("web", &old, 1_000).is_ok());
        assert_eq!(IngestTokenKeys::from(key(2)).verify("web", &old, 1_000), Err(IngestTokenError::Forged));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(OLD_FILE_NAME), "short").unwrap();
        let error = IngestTokenKeys::load_or_create(dir.path(), TTL).unwrap_err();
        assert!(matches!(error, IngestTokenKeyError::Length { found: 5, .. }), "{error}");
    }
}
