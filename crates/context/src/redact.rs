//! Redaction of credentials in URLs.

use crate::ingest_token;

/// The query parameters whose values are credentials: those of the OpenTelemetry semantic conventions for `url.full`
/// and `url.query`, and those used by OAuth and by our own inspector.
const SECRET_PARAMETERS: [&str; 9] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "access_token",
    ingest_token::PARAMETER,
];

/// Returns `url` without its fragment, and with its userinfo and the values of credential parameters replaced by
/// `REDACTED`.
///
/// Follows the OpenTelemetry semantic conventions for `url.full`.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let parts = UrlParts::of(url);
    out.push_str(parts.scheme);
    if !parts.userinfo.is_empty() {
        let has_password = parts.userinfo.bytes().any(|byte| byte == b':');
        out.push_str(if has_password { "REDACTED:REDACTED@" } else { "REDACTED@" });
    }
    out.push_str(parts.host);
    out.push_str(parts.path);
    push_query(&mut out, parts.query);
    out
}

/// The parts of a URL's text, without its fragment (RFC 3986 §3). They are not decoded or validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlParts<'a> {
    /// The scheme with `://`; empty in a relative URL.
    pub scheme: &'a str,
    /// The userinfo with `@`; empty if there is none.
    pub userinfo: &'a str,
    /// The host, with the port if there is one.
    pub host: &'a str,
    /// The path from its `/`; in a relative URL, everything before the query.
    pub path: &'a str,
    /// The query from its `?`; empty if there is none.
    pub query: &'a str,
}

impl<'a> UrlParts<'a> {
    /// Splits `url` into its parts.
    #[must_use]
    pub fn of(url: &'a str) -> Self {
        let (url, _) = cut(url, b'#');
        let (before_query, query) = cut(url, b'?');
        let (name, after_name) = cut(before_query, b':');
        let Some(rest) = after_name.strip_prefix("://") else {
            // A relative URL has no authority.
            return Self { scheme: "", userinfo: "", host: "", path: before_query, query };
        };
        let (scheme, _) = divide(before_query, Some(name.len() + "://".len()));
        let (authority, path) = cut(rest, b'/');
        let at = authority.bytes().rposition(|byte| byte == b'@').map_or(0, |at| at + 1);
        let (userinfo, host) = divide(authority, Some(at));
        Self { scheme, userinfo, host, path, query }
    }

    /// Returns the host's name, and the digits of its port; empty if there is no port.
    #[must_use]
    pub fn name_and_port(&self) -> (&'a str, &'a str) {
        let (name, port) = divide(self.host, self.host.bytes().rposition(|byte| byte == b':'));
        // An IPv6 address contains colons, in brackets.
        if port.ends_with(']') { (self.host, "") } else { (name, port.get(1..).unwrap_or("")) }
    }
}

/// Returns `query` (without its `?`) with the values of credential parameters replaced by `REDACTED`.
///
/// Follows the OpenTelemetry semantic conventions for `url.query`.
#[must_use]
pub fn redact_query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    push_query(&mut out, query);
    out
}

/// Appends the query pair by pair. Each pair begins with its separator.
fn push_query(out: &mut String, query: &str) {
    let mut rest = query;
    while !rest.is_empty() {
        let (pair, after) = cut_after_first(rest, b'&');
        rest = after;
        let (key, value) = cut(pair, b'=');
        let is_divided = matches!(key.as_bytes(), [b'?' | b'&', ..]);
        let name = key.as_bytes().get(usize::from(is_divided)..).unwrap_or(&[]);
        out.push_str(key);
        let is_secret = SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()));
        out.push_str(if is_secret && !value.is_empty() { "=REDACTED" } else { value });
    }
}

/// Splits before the first `wanted` byte, which is ASCII. Works on bytes, because the patterns of `str` would add to
/// the download of every page.
fn cut(text: &str, wanted: u8) -> (&str, &str) {
    divide(text, text.bytes().position(|byte| byte == wanted))
}

/// Calls [`cut`], but ignores the first byte of the text.
fn cut_after_first(text: &str, wanted: u8) -> (&str, &str) {
    let tail = text.as_bytes().get(1..).unwrap_or(&[]);
    divide(text, tail.iter().position(|byte| *byte == wanted).map(|at| at + 1))
}

/// Splits at `at`; without it, the first part is the whole text.
fn divide(text: &str, at: Option<usize>) -> (&str, &str) {
    let at = at.unwrap_or(text.len());
    (text.get(..at).unwrap_or(""), text.get(at..).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{UrlParts, redact_query, redact_url};

    #[test]
    fn credentials_are_replaced_and_the_rest_is_kept() {
        for (from, to) in [
            ("https://a.example/p?x=1&y=2", "https://a.example/p?x=1&y=2"),
            ("https://a.example/p?x=1&sig=abc&z=", "https://a.example/p?x=1&sig=REDACTED&z="),
            ("https://a.example?X-AMZ-SIGNATURE=abc", "https://a.example?X-AMZ-SIGNATURE=REDACTED"),
            ("https://me:pw@a.example/p@q", "https://REDACTED:REDACTED@a.example/p@q"),
            ("https://token@a.example", "https://REDACTED@a.example"),
            ("/relative?Signature=s#top", "/relative?Signature=REDACTED"),
            ("", ""),
        ] {
            assert_eq!(redact_url(from), to);
        }
    }

    #[test]
    fn a_url_is_split_into_parts() {
        let url = "https://me:pw@a.example:8443/p/q@r:1?x=/y#z";
        let parts = UrlParts::of(url);
        let expected = UrlParts {
            scheme: "https://",
            userinfo: "me:pw@",
            host: "a.example:8443",
            path: "/p/q@r:1",
            query: "?x=/y",
        };
        assert_eq!((parts, parts.name_and_port()), (expected, ("a.example", "8443")));
        for (url, host, name_and_port) in [
            ("http://a.example", "a.example", ("a.example", "")),
            ("http://[::1]/", "[::1]", ("[::1]", "")),
            ("http://[::1]:4318?a", "[::1]:4318", ("[::1]", "4318")),
            ("/p:1@x", "", ("", "")),
            ("", "", ("", "")),
        ] {
            let parts = UrlParts::of(url);
            assert_eq!((parts.host, parts.name_and_port()), (host, name_and_port), "{url}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_url(url in "([a-z]{1,4}(://|:))?[a-z:@/?\\[\\]]{0,20}") {
            let UrlParts { scheme, userinfo, host, path, query } = UrlParts::of(&url);
            prop_assert_eq!([scheme, userinfo, host, path, query].concat(), url);
        }

        #[test]
        fn no_secret_survives(key in proptest::sample::select(&super::SECRET_PARAMETERS[..]), secret in "[a-z]{12}", before in "[a-z=&]{0,9}") {
            let url = format!("https://u:{secret}@h/p?{before}&{key}={secret}&more=1");
            prop_assert!(!redact_url(&url).contains(&secret));
            let query = format!("{before}&{key}={secret}");
            prop_assert!(!redact_query(&query).contains(&secret));
        }

        #[test]
        fn any_text_is_accepted(url in ".{0,200}") {
            prop_assert!(redact_url(&url).len() <= 3 * url.len() + 32);
        }
    }
}
