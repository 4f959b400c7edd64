//! Value parsers that several settings share.
//!
//! The error of a value parser names what was expected; [`SettingError`](super::SettingError) adds the names of the setting. Errors
//! of a parser for secrets do not contain the input.

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;
use throughline_inspector_server::is_base_path;
use tracing_subscriber::EnvFilter;
use url::{Origin, Url};

/// The value that disables a setting with a default.
pub(super) const OFF: &str = "off";

const MIN_TOKEN_BYTES: usize = 16;
/// One day. A larger value is assumed to be a mistake.
const MAX_MS: u64 = 86_400_000;

/// A list of entries, possibly empty, as the value of one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> List<T> {
    /// Parses the entries between separators. Empty entries, such as the one after a trailing separator, are skipped.
    pub(super) fn parse<E>(text: &str, separator: char, entry: impl FnMut(&str) -> Result<T, E>) -> Result<Self, E> {
        let entries = text.split(separator).map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(entry).collect::<Result<_, _>>().map(Self)
    }
}

/// A value, or `None` for a word such as `off`. clap interprets `Option` itself as a flag that may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

/// Parses `on` or `off`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" | "true" | "1" => Ok(true),
        OFF | "false" | "0" => Ok(false),
        other => Err(format!("`{other}` is neither `on` nor `off`")),
    }
}

/// Parses a non-blank text.
pub(super) fn text(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() { Err("the value is empty") } else { Ok(text.to_owned()) }
}

/// Parses an IP address and port. `localhost` means 127.0.0.1; other host names are rejected, because they need a resolver.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = numeric.as_deref().unwrap_or(text).parse();
    address.map_err(|_| format!("`{text}` is not an address and port such as 127.0.0.1:3000"))
}

/// Parses an address and port, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<Maybe<SocketAddr>, String> {
    if text.trim() == OFF {
        return Ok(Maybe(None));
    }
    address(text).map(|address| Maybe(Some(address)))
}

/// Parses origins separated by commas.
pub(super) fn origins(text: &str) -> Result<List<Origin>, String> {
    List::parse(text, ',', origin)
}

fn origin(text: &str) -> Result<Origin, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{text}` is not an http or https origin"));
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || has_user {
        return Err(format!("`{}` is not an origin, which has only a scheme, a host and a port", without_user(url)));
    }
    Ok(url.origin())
}

/// Returns a URL without its user and password.
fn without_user(mut url: Url) -> Url {
    url.set_username("").expect("an http URL has a host");
    url.set_password(None).expect("an http URL has a host");
    url
}

/// Parses a base path. The result is empty, or it starts with a slash and does not end with one.
pub(super) fn base_path(text: &str) -> Result<String, String> {
    let path = text.trim().trim_end_matches('/');
    if is_base_path(path) {
        Ok(path.to_owned())
    } else {
        Err(format!("`{text}` is not a path such as /tracing, of letters, digits, `-`, `.`, `_` and `~` after a slash"))
    }
}

/// Returns whether a text is a valid token: at least 16 printable ASCII characters without spaces.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() >= MIN_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Parses the token of a receiver or of the inspector.
pub(super) fn token(text: &str) -> Result<SecretString, &'static str> {
    if is_token(text) { Ok(text.into()) } else { Err("expected at least 16 printable ASCII characters without spaces") }
}

/// Parses an API key, which is sent as the value of a header.
pub(super) fn api_key(text: &str) -> Result<SecretString, &'static str> {
    let text = text.trim_matches(' ');
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        Err("expected a key of printable ASCII characters")
    }
}

/// Parses `key=value,key=value` with percent-encoded values.
pub(super) fn resource_attributes(text: &str) -> Result<List<(String, String)>, String> {
    List::parse(text, ',', |pair| {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` has no `=`; expected key=value"))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("`{pair}` has no key; expected key=value"));
        }
        let value = percent_encoding::percent_decode_str(value.trim())
            .decode_utf8()
            .map_err(|_| format!("the value of `{key}` is not UTF-8"))?;
        Ok((key.to_owned(), value.into_owned()))
    })
}

/// Parses a number of milliseconds, from 1 to one day.
pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.trim().parse().ok().filter(|ms| (1..=MAX_MS).contains(ms));
    let duration = number.map(Duration::from_millis);
    duration.ok_or_else(|| format!("`{text}` is not a number of milliseconds from 1 to {MAX_MS}"))
}

/// Checks a log filter. The text is kept, because `EnvFilter` cannot be cloned.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("`{text}` is not a log filter such as info or throughline=debug,warn: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_have_three_spellings() {
        assert_eq!(["on", "true", "1"].map(switch), [Ok(true), Ok(true), Ok(true)]);
        assert_eq!(["off", "false", " 0 "].map(switch), [Ok(false), Ok(false), Ok(false)]);
        assert!(switch("maybe").is_err() && switch("").is_err());
    }

    #[test]
    fn localhost_is_the_only_accepted_host_name() {
        assert_eq!(address("localhost:3000").unwrap().to_string(), "127.0.0.1:3000");
        assert_eq!(address(" [::1]:80 ").unwrap().to_string(), "[::1]:80");
        for wrong in ["nonsense", "127.0.0.1", "127.0.0.1:70000", "host.example:80", ":", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(address_or_off("off").unwrap(), Maybe(None));
        assert!(address_or_off("on").is_err());
    }

    #[test]
    fn origins_have_a_scheme_a_host_and_a_port() {
        let read = |text: &str| {
            let origins = origins(text).unwrap().0;
            origins.iter().map(Origin::ascii_serialization).collect::<Vec<_>>()
        };
        assert_eq!(
            read("https://a.example:443/, http://localhost:8080,"),
            ["https://a.example", "http://localhost:8080"]
        );
        assert!(read("").is_empty());
        for wrong in ["localhost:3000", "*", "ftp://a.test", "https://", "https://a.test/path", "https://a.test,x"] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
        let error = origins("https://me:s3cret@a.test").unwrap_err();
        assert!(error.contains("is not an origin") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn base_paths_do_not_end_with_a_slash() {
        assert_eq!(base_path("/tracing/").as_deref(), Ok("/tracing"));
        assert_eq!(base_path("/").as_deref(), Ok(""));
        assert!(base_path("tracing").is_err() && base_path("/a/../b").is_err());
    }

    #[test]
    fn attributes_are_percent_decoded() {
        let list = resource_attributes("a=1, b=x%20y,").unwrap().0;
        assert_eq!(list, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x y".to_owned())]);
        for wrong in ["novalue", "=x", "a=%ff"] {
            assert!(resource_attributes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn milliseconds_are_at_most_a_day() {
        assert_eq!(milliseconds("86400000"), Ok(Duration::from_secs(86_400)));
        for wrong in ["0", "-1", "86400001", "10s", ""] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tokens_are_printable_and_long_enough() {
        assert!(token("0123456789abcdef").is_ok());
        for wrong in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdéf"] {
            assert!(token(wrong).is_err(), "{wrong}");
        }
        assert!(api_key("hcaik_1").is_ok());
        assert!(api_key("s3cret\nkey").is_err() && api_key("").is_err());
    }

    #[test]
    fn log_filters_are_checked() {
        assert_eq!(log_filter("throughline=debug,warn").as_deref(), Ok("throughline=debug,warn"));
        assert!(log_filter("throughline=loud").is_err());
    }
}
