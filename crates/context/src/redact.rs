//! What must not be recorded of a URL.

/// Query parameters whose values are credentials: those of the OpenTelemetry semantic conventions for `url.full` and
/// `url.query`, and those in which OAuth and our own inspector carry theirs.
const SECRET_PARAMETERS: [&str; 9] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "access_token",
    "ticket",
];

/// `url` with its userinfo and the values of signature parameters replaced by `REDACTED`, and without its fragment.
///
/// Follows the OpenTelemetry semantic conventions for `url.full`.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let (url, _) = cut(url, b"#");
    let (before_query, query) = cut(url, b"?");
    let (scheme, after_scheme) = cut(before_query, b":");
    // What is relative has no authority.
    let rest = after_scheme.strip_prefix("://");
    let (authority, path) = cut(rest.unwrap_or_default(), b"/");
    let (userinfo, host) = cut_last(authority, b'@');
    if rest.is_some() && !host.is_empty() {
        let hidden = if userinfo.contains(':') { "://REDACTED:REDACTED" } else { "://REDACTED" };
        for part in [scheme, hidden, host, path] {
            out.push_str(part);
        }
    } else {
        out.push_str(before_query);
    }
    push_query(&mut out, query);
    out
}

/// `query` (without its `?`) with the values of credentials replaced by `REDACTED`.
///
/// Follows the OpenTelemetry semantic conventions for `url.query`.
#[must_use]
pub fn redact_query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    push_query(&mut out, query);
    out
}

/// Pair by pair; each begins with what divides it from the one before.
fn push_query(out: &mut String, query: &str) {
    let mut rest = query;
    while !rest.is_empty() {
        let (pair, after) = cut_after_first(rest, b"&");
        rest = after;
        let (key, value) = cut(pair, b"=");
        let name = key.get(usize::from(key.starts_with(['?', '&']))..).unwrap_or_default();
        out.push_str(key);
        let is_secret = SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        out.push_str(if is_secret && !value.is_empty() { "=REDACTED" } else { value });
    }
}

/// What stands before the first of these bytes, which are ASCII, and the rest. By bytes, because the patterns of `str` would
/// be downloaded by every page.
fn cut<'a>(text: &'a str, bytes: &[u8]) -> (&'a str, &'a str) {
    let at = text.bytes().position(|byte| bytes.contains(&byte)).unwrap_or(text.len());
    (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default())
}

/// The same, but a byte at the very start does not count.
fn cut_after_first<'a>(text: &'a str, bytes: &[u8]) -> (&'a str, &'a str) {
    let tail = text.as_bytes().get(1..).unwrap_or_default();
    let at = tail.iter().position(|byte| bytes.contains(byte)).map_or(text.len(), |at| at + 1);
    (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default())
}

/// What stands before the last such byte, and the rest; nothing as the rest if there is none.
fn cut_last(text: &str, wanted: u8) -> (&str, &str) {
    let at = text.bytes().rposition(|byte| byte == wanted).unwrap_or(text.len());
    (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{redact_query, redact_url};

    #[test]
    fn secrets_are_replaced_and_the_rest_stays() {
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

    proptest! {
        #[test]
        fn no_secret_survives(key in proptest::sample::select(&super::SECRET_PARAMETERS[..]), secret in "[a-z]{12}", before in "[a-z=&]{0,9}") {
            let url = format!("https://u:{secret}@h/p?{before}&{key}={secret}&more=1");
            prop_assert!(!redact_url(&url).contains(&secret));
            let query = format!("{before}&{key}={secret}");
            prop_assert!(!redact_query(&query).contains(&secret));
        }

        #[test]
        fn it_takes_any_text(url in ".{0,200}") {
            prop_assert!(redact_url(&url).len() <= 3 * url.len() + 32);
        }
    }
}
