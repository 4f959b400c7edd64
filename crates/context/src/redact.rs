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
    let url = url.split('#').next().unwrap_or_default();
    let (before_query, query) = match url.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (url, None),
    };
    let mut out = String::with_capacity(url.len());
    match before_query.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            out.push_str(scheme);
            out.push_str("://");
            match authority.rsplit_once('@') {
                Some((userinfo, host)) => {
                    out.push_str(if userinfo.contains(':') { "REDACTED:REDACTED@" } else { "REDACTED@" });
                    out.push_str(host);
                }
                None => out.push_str(authority),
            }
            out.push_str(path);
        }
        None => out.push_str(before_query),
    }
    if let Some(query) = query {
        out.push('?');
        push_query(&mut out, query);
    }
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

fn push_query(out: &mut String, query: &str) {
    for (n, pair) in query.split('&').enumerate() {
        if n > 0 {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((key, _)) if SECRET_PARAMETERS.iter().any(|secret| key.eq_ignore_ascii_case(secret)) => {
                out.push_str(key);
                out.push_str("=REDACTED");
            }
            _ => out.push_str(pair),
        }
    }
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
