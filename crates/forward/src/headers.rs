//! `OTEL_EXPORTER_OTLP_HEADERS`: `key=value,key2=value2`, values percent-encoded (OpenTelemetry Protocol Exporter,
//! "Specifying headers via environment variables").

use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

/// An invalid entry of a list of headers. The entry is not part of the message, because it may be a key without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header {entry}: {problem}")]
pub struct HeadersError {
    /// The number of the entry, counted from 1.
    pub entry: usize,
    /// The problem of the entry.
    pub problem: HeadersProblem,
}

/// The problem of an invalid entry, see [`HeadersError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersProblem {
    /// The entry has no `=`.
    #[error("expected name=value")]
    NoValue,
    /// The text before `=` is not a header name.
    #[error("the name is not a valid header name")]
    Name,
    /// A `%` is not followed by two hex digits, or the decoded value is not UTF-8.
    #[error("the value is not percent-encoded correctly")]
    Percent,
    /// The value has characters that a header cannot have.
    #[error("the value has characters that a header cannot have")]
    Value,
}

/// Parses a list of headers. Empty entries are skipped; a name may occur more than once.
///
/// # Errors
/// [`HeadersError`] for the first invalid entry.
pub fn parse_headers(text: &str) -> Result<Vec<(String, SecretString)>, HeadersError> {
    let entries = text.split(',').enumerate().filter(|(_, entry)| !entry.trim().is_empty());
    entries
        .map(|(index, entry)| parse_entry(entry).map_err(|problem| HeadersError { entry: index + 1, problem }))
        .collect()
}

fn parse_entry(entry: &str) -> Result<(String, SecretString), HeadersProblem> {
    let (name, value) = entry.split_once('=').ok_or(HeadersProblem::NoValue)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| HeadersProblem::Name)?;
    let value = percent_decode(value.trim()).ok_or(HeadersProblem::Percent)?;
    HeaderValue::from_str(&value).map_err(|_| HeadersProblem::Value)?;
    Ok((name.as_str().to_owned(), SecretString::from(value)))
}

fn percent_decode(text: &str) -> Option<String> {
    fn digit(byte: Option<u8>) -> Option<u8> {
        u8::try_from(char::from(byte?).to_digit(16)?).ok()
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let headers = parse_headers(text).unwrap();
        headers.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect()
    }

    #[test]
    fn lists_are_parsed() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parsed(""), []);
        assert_eq!(parsed("x-honeycomb-team=abc"), [pair("x-honeycomb-team", "abc")]);
        assert_eq!(
            parsed(" X-Honeycomb-Team = a=b== , authorization=Bearer%20t%2Cu,"),
            [pair("x-honeycomb-team", "a=b=="), pair("authorization", "Bearer t,u")]
        );
        assert_eq!(parsed("k="), [pair("k", "")]);
    }

    #[test]
    fn errors_have_the_position_and_not_the_entry() {
        for (text, entry, problem) in [
            ("s3cret", 1, HeadersProblem::NoValue),
            ("a=b,s3cret", 2, HeadersProblem::NoValue),
            ("a=b,,s3 cret=c", 3, HeadersProblem::Name),
            ("=s3cret", 1, HeadersProblem::Name),
            ("a=s3cret%", 1, HeadersProblem::Percent),
            ("a=s3cret%2", 1, HeadersProblem::Percent),
            ("a=s3cret%+1", 1, HeadersProblem::Percent),
            ("a=s3cret%ff", 1, HeadersProblem::Percent),
            ("a=s3cret%0d%0ab", 1, HeadersProblem::Value),
        ] {
            let error = parse_headers(text).unwrap_err();
            assert_eq!(error, HeadersError { entry, problem }, "{text}");
            assert!(!format!("{error} {error:?}").contains("s3"), "{error}");
        }
    }
}
