//! Values that must not be seen.

use std::fmt;

/// A text that is never shown: `Debug` writes `[redacted]`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From now on not shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

const REDACTED: &str = "[redacted]";

/// Takes every secret out of a text that somebody else wrote, such as an upstream's error message.
pub(crate) fn scrub<'a>(mut text: String, secrets: impl Iterator<Item = &'a Secret>) -> String {
    for secret in secrets {
        // The scheme is no secret (`Bearer`), what follows is; and one that short would only riddle the text.
        for part in secret.expose().split_whitespace().filter(|part| part.len() >= 6) {
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
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Secret::new("hcaik_0123")), "[redacted]");
    }

    #[test]
    fn an_echoed_key_is_taken_out() {
        let secrets = [Secret::new("hcaik_0123"), Secret::new("Bearer abcdefgh"), Secret::new("")];
        let text = scrub("unknown key hcaik_0123, token abcdefgh".to_owned(), secrets.iter());
        assert_eq!(text, "unknown key [redacted], token [redacted]");
    }
}
