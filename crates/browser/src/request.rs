//! What the conventions want to know of a request, from its method and URL.

/// Methods that stand in a span's name and attributes as they are, besides PATCH; any other is `_OTHER`.
static KNOWN_METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];

/// The method as browsers send it, if the conventions know it.
pub(crate) fn known_method(method: &str) -> Option<&'static str> {
    // Browsers normalize all of the old methods, and not this one (Fetch §2.2.1).
    if method == "PATCH" {
        return Some("PATCH");
    }
    KNOWN_METHODS.iter().copied().find(|known| known.eq_ignore_ascii_case(method))
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
    /// Which it is.
    pub(crate) number: u32,
    /// When it was sent, page milliseconds.
    pub(crate) start_ms: f64,
    /// When the program heard of the response's head, page milliseconds; 0 before that, or if none came.
    pub(crate) head_ms: f64,
}

/// How far the browser's times may lie from ours: both are rounded.
const SLACK_MS: f64 = 1.0;

/// Whether an entry that started then may be about a request that was sent then.
pub(crate) fn may_be(start_ms: f64, entry_start_ms: f64) -> bool {
    entry_start_ms >= start_ms - SLACK_MS
}

/// Which of the requests to one URL an entry is about, where no server says so; its number.
///
/// Programs hear of a response at once when its head is there, so the request that heard shortest after the entry's head is
/// it. An entry that hides when its head came, as those of other origins do, still says when it ended: most bodies are there
/// with their head, so the request that heard closest to that is taken.
pub(crate) fn best(
    candidates: impl Iterator<Item = Candidate>,
    entry_start_ms: f64,
    entry_head_ms: f64,
    entry_end_ms: f64,
) -> Option<u32> {
    let mut found: Option<(u32, f64)> = None;
    for candidate in candidates {
        if !may_be(candidate.start_ms, entry_start_ms) {
            continue;
        }
        let distance = if candidate.head_ms <= 0.0 {
            // It has not heard yet, or failed: better than nothing.
            f64::MAX
        } else if entry_head_ms <= 0.0 {
            (candidate.head_ms - entry_end_ms).abs()
        } else if candidate.head_ms >= entry_head_ms - SLACK_MS {
            (candidate.head_ms - entry_head_ms).abs()
        } else {
            // It heard of its head before this one was there.
            continue;
        };
        if found.is_none_or(|(_, least)| distance < least) {
            found = Some((candidate.number, distance));
        }
    }
    found.map(|(number, _)| number)
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
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

    proptest! {
        /// Requests to one URL, each answered when it likes; the program hears of each head a moment later.
        #[test]
        fn every_entry_finds_its_own_request(
            requests in prop::collection::vec((0.0..50.0, 1.0..500.0, 0.0..0.4), 1..12),
            hidden: bool,
        ) {
            // Heads that are no farther apart than the program's delay cannot be told apart by anyone.
            let mut heads: Vec<f64> = requests.iter().map(|(start, wait, _)| start + wait).collect();
            heads.sort_by(f64::total_cmp);
            prop_assume!(heads.windows(2).all(|pair| pair[1] - pair[0] > 2.0 * SLACK_MS));
            let mut left: Vec<Candidate> = (0..)
                .zip(&requests)
                .map(|(number, (start, wait, delay))| {
                    Candidate { number, start_ms: *start, head_ms: start + wait + delay }
                })
                .collect();
            for (number, (start, wait, _)) in (0..).zip(&requests) {
                let head = if hidden { 0.0 } else { start + wait };
                let found = best(left.iter().copied(), start + 0.1, head, start + wait);
                prop_assert_eq!(found, Some(number));
                left.retain(|candidate| candidate.number != number);
            }
        }
    }

    #[test]
    fn hidden_times_go_to_the_closest_and_the_future_to_nobody() {
        let at = |number, start_ms| Candidate { number, start_ms, head_ms: start_ms + 5.0 };
        assert_eq!(best([at(7, 20.0), at(8, 10.0)].into_iter(), 25.0, 0.0, 15.5), Some(8));
        assert_eq!(best([at(7, 20.0)].into_iter(), 10.0, 12.0, 12.0), None);
        assert_eq!(best([].into_iter(), 10.0, 12.0, 12.0), None);
        let failed = Candidate { number: 7, start_ms: 1.0, head_ms: 0.0 };
        assert_eq!(best([failed, at(8, 1.0)].into_iter(), 1.2, 5.5, 5.6), Some(8));
        assert_eq!(best([failed].into_iter(), 1.2, 5.5, 5.6), Some(7));
    }
}
