//! Attributes of a request by the semantic conventions, and the matching of requests with performance entries.

/// Methods known to the conventions, except PATCH; any other is recorded as `_OTHER`.
static KNOWN_METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];

/// Returns the method as browsers send it, if the conventions know it.
pub(crate) fn known_method(method: &str) -> Option<&'static str> {
    // Browsers do not normalize the case of PATCH (Fetch §2.2.1).
    if method == "PATCH" {
        return Some("PATCH");
    }
    KNOWN_METHODS.iter().copied().find(|known| known.eq_ignore_ascii_case(method))
}

/// Returns the value of `network.protocol.version` for an ALPN id.
pub(crate) fn protocol_version(alpn: &str) -> Option<&'static str> {
    match alpn {
        "http/1.0" => Some("1.0"),
        "http/1.1" => Some("1.1"),
        "h2" | "h2c" => Some("2"),
        "h3" => Some("3"),
        _ => None,
    }
}

/// A request to which an entry of the performance timeline may belong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// The number of the request.
    pub(crate) number: u32,
    /// When it was sent, page milliseconds.
    pub(crate) start_ms: f64,
    /// When the program received the response's head, page milliseconds; 0 before that, or if there was none.
    pub(crate) head_ms: f64,
}

/// The tolerance for differences between the browser's times and ours, milliseconds: both are rounded.
const SLACK_MS: f64 = 1.0;

/// Returns whether an entry that starts at `entry_start_ms` may belong to a request sent at `start_ms`.
pub(crate) fn may_match(start_ms: f64, entry_start_ms: f64) -> bool {
    entry_start_ms >= start_ms - SLACK_MS
}

/// Returns the number of the request to which an entry belongs, among the requests to one URL, if the server did not
/// return the span's id.
///
/// A program receives a response as soon as its head has arrived, so the request whose head was received soonest after
/// the entry's head is chosen. An entry of another origin may hide the time of the head but still has its end. Most
/// bodies arrive with their head, so the request whose head was received closest to the end is chosen.
pub(crate) fn best_match(
    candidates: impl Iterator<Item = Candidate>,
    entry_start_ms: f64,
    entry_head_ms: f64,
    entry_end_ms: f64,
) -> Option<u32> {
    let mut found: Option<(u32, f64)> = None;
    for candidate in candidates {
        if !may_match(candidate.start_ms, entry_start_ms) {
            continue;
        }
        let distance = if candidate.head_ms <= 0.0 {
            // No head yet, or failed: only chosen if there is no other.
            f64::MAX
        } else if entry_head_ms <= 0.0 {
            (candidate.head_ms - entry_end_ms).abs()
        } else if candidate.head_ms >= entry_head_ms - SLACK_MS {
            (candidate.head_ms - entry_head_ms).abs()
        } else {
            // Its head was received before the entry's head arrived.
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
        /// Requests to one URL with responses at any time; the program receives each head shortly after it arrives.
        #[test]
        fn every_entry_is_matched_with_its_own_request(
            requests in prop::collection::vec((0.0..50.0, 1.0..500.0, 0.0..0.4), 1..12),
            hidden: bool,
        ) {
            // Heads that are not farther apart than the program's delay cannot be distinguished.
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
                let found = best_match(left.iter().copied(), start + 0.1, head, start + wait);
                prop_assert_eq!(found, Some(number));
                left.retain(|candidate| candidate.number != number);
            }
        }
    }

    #[test]
    fn hidden_times_match_the_closest_request_and_never_a_later_one() {
        let at = |number, start_ms| Candidate { number, start_ms, head_ms: start_ms + 5.0 };
        assert_eq!(best_match([at(7, 20.0), at(8, 10.0)].into_iter(), 25.0, 0.0, 15.5), Some(8));
        assert_eq!(best_match([at(7, 20.0)].into_iter(), 10.0, 12.0, 12.0), None);
        assert_eq!(best_match([].into_iter(), 10.0, 12.0, 12.0), None);
        let failed = Candidate { number: 7, start_ms: 1.0, head_ms: 0.0 };
        assert_eq!(best_match([failed, at(8, 1.0)].into_iter(), 1.2, 5.5, 5.6), Some(8));
        assert_eq!(best_match([failed].into_iter(), 1.2, 5.5, 5.6), Some(7));
    }
}
