//! Secrets in texts that somebody else wrote.

use secrecy::{ExposeSecret as _, SecretString};

const REDACTED: &str = "[redacted]";
/// Shorter parts of a secret stay: one that short would only riddle the text.
const LEAST_BYTES: usize = 6;

/// Removes every secret from a text of somebody else's, such as an upstream's error message.
pub(crate) fn redact<'a>(mut text: String, secrets: impl Iterator<Item = &'a SecretString>) -> String {
    for secret in secrets {
        // The scheme (`Bearer`) is no secret, but what follows it is.
        for part in secret.expose_secret().split_whitespace().filter(|part| part.len() >= LEAST_BYTES) {
            if text.contains(part) {
                text = text.replace(part, REDACTED);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echoed_key_is_taken_out() {
        let secrets = ["hcaik_0123", "Bearer abcdefgh", ""].map(SecretString::from);
        let text = redact("unknown key hcaik_0123, token abcdefgh".to_owned(), secrets.iter());
        assert_eq!(text, "unknown key [redacted], token [redacted]");
    }
}
