//! The access token of an embedded inspector, kept in the data directory, so that cookies stay valid after a restart.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::is_token;

const FILE: &str = "access.token";

/// Returns the token in `data_dir`, or creates one, with mode 0600, if the file does not exist or its content is not a token.
///
/// # Errors
/// Returns an error if the file cannot be read or written.
pub(crate) fn load_or_create(data_dir: &Path) -> io::Result<SecretString> {
    let path = data_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) if is_token(text.trim()) => return Ok(text.trim().into()),
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Err(error);
        }
        _ => {}
    }
    let token = SecretString::from(uuid::Uuid::new_v4().simple().to_string());
    // A temporary file has the mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(token.expose_secret().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(dir: &Path) -> String {
        load_or_create(dir).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_token_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let token = load(dir.path());
        assert!(is_token(&token), "{token}");
        assert_eq!(load(dir.path()), token);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary file is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_without_a_token_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for wrong in [&b""[..], b"short", b"\xff\xfe binary, and long enough"] {
            fs::write(dir.path().join(FILE), wrong).unwrap();
            let token = load(dir.path());
            assert!(is_token(&token), "{token}");
            assert_eq!(load(dir.path()), token);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FILE)).unwrap();
        assert!(load_or_create(dir.path()).is_err());
    }
}
