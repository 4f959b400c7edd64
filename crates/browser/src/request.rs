//! What the conventions want to know of a request, from its method and URL.

/// Methods that stand in a span's name and attributes as they are; any other is `_OTHER`.
const KNOWN_METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];

/// The method as browsers send it, if the conventions know it.
pub(crate) fn known_method(method: &str) -> Option<&'static str> {
    KNOWN_METHODS.into_iter().find(|known| {
        // Browsers normalize all of the old methods, and not PATCH (Fetch §2.2.1).
        *known == method || (*known != "PATCH" && known.eq_ignore_ascii_case(method))
    })
}

/// The parts of an absolute `http` or `https` URL as browsers print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// `scheme://host:port`, without the port if it is the scheme's own.
    pub(crate) origin: &'a str,
    /// Without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
}

impl<'a> Url<'a> {
    /// `None` for any other scheme: there is no request that could be traced.
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest, default_port) = match url.strip_prefix("http://") {
            Some(rest) => (7, rest, 80),
            None => (8, url.strip_prefix("https://")?, 443),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host_start = authority.rfind('@').map_or(0, |at| at + 1);
        let host_port = authority.get(host_start..)?;
        let colon =
            host_port.rfind(':').filter(|colon| !host_port.get(*colon..).is_some_and(|rest| rest.contains(']')));
        let (host, port) = match colon {
            Some(colon) => (host_port.get(..colon)?, host_port.get(colon + 1..)?.parse().ok()?),
            None => (host_port, default_port),
        };
        if host.is_empty() {
            return None;
        }
        // With userinfo there is no place in the URL where the origin stands in one piece; fetch refuses those anyway.
        let origin = if host_start == 0 { url.get(..scheme + end)? } else { "" };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        Some(Self {
            origin,
            host: host.trim_start_matches('[').trim_end_matches(']'),
            port,
            path: if path.is_empty() { "/" } else { path },
        })
    }
}

/// The version by the conventions for `network.protocol.version`, from an ALPN id.
pub(crate) fn protocol_version(alpn: &str) -> Option<&'static str> {
    match alpn {
        "http/1.0" => Some("1.0"),
        "http/1.1" => Some("1.1"),
        "h2" | "h2c" => Some("2"),
        "h3" => Some("3"),
        _ => None,
    }
}

/// What is known of a request that ended, when an entry of the performance timeline asks for its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// When it was sent, page milliseconds.
    pub(crate) start_ms: f64,
    /// When the program heard of the response's head, page milliseconds; `None` before that, or if none came.
    pub(crate) head_ms: Option<f64>,
}

/// How far the browser's times may lie from ours: both are rounded.
const SLACK_MS: f64 = 1.0;

/// Whether an entry that started then may be about a request that was sent then.
pub(crate) fn may_be(start_ms: f64, entry_start_ms: f64) -> bool {
    entry_start_ms >= start_ms - SLACK_MS
}

/// Which of the requests to one URL an entry is about, where no server says so.
///
/// Programs hear of a response at once when its head is there, so the request that heard shortest after the entry's head is
/// it. An entry that hides its times, as those of other origins do, is about the request that was sent first: they are told
/// in that order more often than not, and of hidden times little can be wrong.
pub(crate) fn best(candidates: &[Candidate], entry_start_ms: f64, entry_head_ms: f64) -> Option<usize> {
    let mut found: Option<(usize, f64)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        if !may_be(candidate.start_ms, entry_start_ms) {
            continue;
        }
        let distance = match candidate.head_ms {
            _ if entry_head_ms <= 0.0 => candidate.start_ms,
            Some(head_ms) if head_ms >= entry_head_ms - SLACK_MS => (head_ms - entry_head_ms).abs(),
            // It heard of its head before this one was there.
            Some(_) => continue,
            // It has not heard yet, or failed: better than nothing.
            None => f64::MAX,
        };
        if found.is_none_or(|(_, least)| distance < least) {
            found = Some((index, distance));
        }
    }
    found.map(|(index, _)| index)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn methods_are_normalized_as_browsers_do() {
        assert_eq!(known_method("get"), Some("GET"));
        assert_eq!(known_method("PATCH"), Some("PATCH"));
        assert_eq!(known_method("patch"), None, "browsers send it as it is");
        assert_eq!(known_method("PURGE"), None);
    }

    #[test]
    fn urls_come_apart() {
        let parse = |url| Url::parse(url).map(|url| (url.origin, url.host, url.port, url.path));
        for (url, expected) in [
            ("https://a.example/p/q?x=1#f", ("https://a.example", "a.example", 443, "/p/q")),
            ("http://127.0.0.1:3000/", ("http://127.0.0.1:3000", "127.0.0.1", 3000, "/")),
            ("http://[::1]:8080?x", ("http://[::1]:8080", "::1", 8080, "/")),
            ("http://[::1]/a", ("http://[::1]", "::1", 80, "/a")),
            ("https://me:pw@a.example:444/", ("", "a.example", 444, "/")),
            ("http://a.example", ("http://a.example", "a.example", 80, "/")),
        ] {
            assert_eq!(parse(url), Some(expected), "{url}");
        }
        for url in
            ["", "data:text/plain,x", "blob:http://a/b", "ws://a.example/", "/relative", "http://", "http://:80/"]
        {
            assert_eq!(parse(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_is_not(url in "(https?://)?.{0,60}") {
            if let Some(parsed) = Url::parse(&url) {
                prop_assert!(url.starts_with(parsed.origin));
                prop_assert!(!parsed.host.is_empty());
            }
        }

        /// Requests to one URL, each answered when it likes; the program hears of each head a moment later.
        #[test]
        fn every_entry_finds_its_own_request(
            requests in prop::collection::vec((0.0..50.0, 1.0..500.0, 0.0..0.4), 1..12),
        ) {
            // Heads that are no farther apart than the program's delay cannot be told apart by anyone.
            let mut heads: Vec<f64> = requests.iter().map(|(start, wait, _)| start + wait).collect();
            heads.sort_by(f64::total_cmp);
            prop_assume!(heads.windows(2).all(|pair| pair[1] - pair[0] > 2.0 * SLACK_MS));
            let mut left: Vec<(usize, Candidate)> = requests
                .iter()
                .enumerate()
                .map(|(id, (start, wait, delay))| {
                    (id, Candidate { start_ms: *start, head_ms: Some(start + wait + delay) })
                })
                .collect();
            for (id, (start, wait, _)) in requests.iter().enumerate() {
                let candidates: Vec<_> = left.iter().map(|(_, candidate)| *candidate).collect();
                let index = best(&candidates, start + 0.1, start + wait).unwrap();
                prop_assert_eq!(left.remove(index).0, id);
            }
        }
    }

    #[test]
    fn hidden_times_go_to_the_first_and_the_future_to_nobody() {
        let at = |start_ms| Candidate { start_ms, head_ms: Some(start_ms + 5.0) };
        assert_eq!(best(&[at(20.0), at(10.0)], 25.0, 0.0), Some(1));
        assert_eq!(best(&[at(20.0)], 10.0, 12.0), None);
        assert_eq!(best(&[], 10.0, 12.0), None);
        let failed = Candidate { start_ms: 1.0, head_ms: None };
        assert_eq!(best(&[failed, at(1.0)], 1.2, 5.5), Some(1));
        assert_eq!(best(&[failed], 1.2, 5.5), Some(0));
    }
}
