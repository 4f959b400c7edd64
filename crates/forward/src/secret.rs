//! Redaction of secrets in the messages of an upstream.

use secrecy::{ExposeSecret as _, SecretString};

const REDACTED: &str = "[redacted]";
/// The minimum length of a part of a secret that is redacted, in bytes: shorter ones would match ordinary text.
const MIN_BYTES: usize = 6;

/// Redacts all secrets in a text, such as an upstream's error message.
pub(crate) fn redact<'a>(mut text: String, secrets: impl Iterator<Item = &'a SecretString>) -> String {
    for secret in secrets {
        // A value such as `Bearer abc` is redacted part by part, because a message may repeat the token alone.
        for part in secret.expose_secret().split_whitespace().filter(|part| part.len() >= MIN_BYTES) {
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
    fn an_echoed_key_is_redacted() {
        let secrets = ["hcaik_0123", "Bearer abcdefgh", ""].map(SecretString::from);
        let text = redact("unknown key hcaik_0123, token abcdefgh".to_owned(), secrets.iter());
        assert_eq!(text, "unknown key [redacted], token [redacted]");
    }
}
