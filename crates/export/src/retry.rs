//! The pauses between retries.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// The average pause before the first retry.
const FIRST: Duration = Duration::from_millis(500);
/// The longest average pause, short enough that a receiver's recovery is noticed soon.
const LONGEST: Duration = Duration::from_secs(5);
/// The longest average pause during a shutdown, when the program waits.
const LONGEST_AT_END: Duration = Duration::from_millis(500);

/// Exponential backoff with jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// Returns the next pause: 0.5 to 1.5 times a duration that doubles, so that many clients do not retry at the same
    /// time.
    pub(crate) fn next(&mut self, is_at_end: bool) -> Duration {
        let longest = if is_at_end { LONGEST_AT_END } else { LONGEST };
        let pause = self.next.min(longest);
        self.next = (self.next * 2).min(LONGEST);
        pause.mul_f64(rand::random_range(0.5..1.5))
    }
}

/// Parses `Retry-After`, as seconds or as a date; `None` without a valid value.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // A date in the past means an immediate retry.
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_with_jitter() {
        for (is_at_end, expected_ms) in [(false, [500, 1000, 2000, 4000, 5000, 5000]), (true, [500; 6])] {
            let mut backoff = Backoff::new();
            for expected_ms in expected_ms {
                let pause_ms = backoff.next(is_at_end).as_millis();
                assert!((expected_ms / 2..=expected_ms * 3 / 2).contains(&pause_ms), "{pause_ms} for {expected_ms}");
            }
        }
        let mut pauses: Vec<_> = (0..20).map(|_| Backoff::new().next(false)).collect();
        pauses.dedup();
        assert!(pauses.len() > 1);
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]), now);
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:50 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:30 GMT"), Some(Duration::ZERO));
        for wrong in ["soon", "-1", "1.5"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
