//! The token of the OTLP receivers.

use http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// A secret that programs send as `authorization: Bearer …`. `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct OtlpToken(SecretString);

impl OtlpToken {
    /// Creates a token from any text that is valid in a header; it should be hard to guess.
    #[must_use]
    pub fn new(token: impl Into<SecretString>) -> Self {
        Self(token.into())
    }

    /// Returns whether the request has exactly one `authorization` header and it carries this token. The comparison
    /// takes constant time.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(first), None) = (given.next(), given.next()) else { return false };
        let first = first.as_bytes();
        let Some(space) = first.iter().position(|byte| *byte == b' ') else { return false };
        let (scheme, token) = (&first[..space], first[space..].trim_ascii());
        scheme.eq_ignore_ascii_case(b"bearer") && token.ct_eq(self.0.expose_secret().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_header_with_the_exact_token_is_accepted() {
        let token = OtlpToken::new("0123456789abcdef");
        let is_in = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            token.is_in(&headers)
        };
        assert!(is_in(&["Bearer 0123456789abcdef"]));
        assert!(is_in(&["bearer  0123456789abcdef"]));
        for wrong in [
            &[][..],
            &["Bearer 0123456789abcdeF"],
            &["Bearer 0123456789abcdef0"],
            &["Bearer "],
            &["Bearer"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
            &["Bearer wrong", "Bearer 0123456789abcdef"],
        ] {
            assert!(!is_in(wrong), "{wrong:?}");
        }
        assert!(!format!("{token:?}").contains("0123456789abcdef"), "{token:?}");
    }
}
