//! The steps of a task on the terminal: announced when they start, timed when they end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Numbers the steps of one task and prints the duration of each.
pub(crate) struct Progress {
    started: usize,
    total: usize,
    /// Typical durations of the steps in seconds, if the remaining time is estimated.
    typical_s: &'static [u32],
    start: Instant,
}

impl Progress {
    /// Creates the progress of a task of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { started: 0, total, typical_s: &[], start: Instant::now() }
    }

    /// Creates the progress of a task whose steps typically take `typical_s` seconds; the remaining time is estimated.
    pub(crate) fn with_estimate(typical_s: &'static [u32]) -> Self {
        Self { typical_s, ..Self::new(typical_s.len()) }
    }

    /// Runs one step between its two lines.
    pub(crate) fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let label = self.announce(what);
        println!("{label} …");
        let start = Instant::now();
        let result = work();
        let elapsed = show(start.elapsed());
        match &result {
            Ok(_) => println!("{label} … {elapsed}{}", self.rest()),
            Err(_) => println!("{label} … failed after {elapsed}"),
        }
        result
    }

    /// Announces the last step of a task that does not return from it, such as the start of the server.
    pub(crate) fn last(&mut self, what: &str) {
        println!("{} … after {}", self.announce(what), show(self.start.elapsed()));
    }

    /// Counts a step for which there is nothing to do.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        println!("{} … {why}", self.announce(what));
    }

    fn announce(&mut self, what: &str) -> String {
        self.started += 1;
        format!("[{}/{}] {what}", self.started, self.total)
    }

    /// Returns the estimate of the time that the remaining steps take, as the end of a line.
    fn rest(&self) -> String {
        match remaining(self.typical_s, self.started, self.start.elapsed()) {
            Some(left) => format!(", about {} left", show(left)),
            None => String::new(),
        }
    }
}

/// Returns the time that the steps after the first `done` take, if they relate to `elapsed` as they typically do.
/// `None` without an estimate, and where less than five seconds are left.
fn remaining(typical_s: &[u32], done: usize, elapsed: Duration) -> Option<Duration> {
    let (before, after) = typical_s.split_at_checked(done)?;
    let (before, after): (u32, u32) = (before.iter().sum(), after.iter().sum());
    let left = elapsed.checked_mul(after)?.checked_div(before)?;
    (left >= Duration::from_secs(5)).then(|| Duration::from_secs(left.as_secs()))
}

/// Formats a duration: `41.2 s`, `3 min 05 s`.
pub(crate) fn show(duration: Duration) -> String {
    // Rounded to tenths first, so that 59.96 s is a minute and not `60.0 s`.
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        let seconds = (tenths + 5) / 10;
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_seconds_or_minutes() {
        assert_eq!(show(Duration::from_millis(41_240)), "41.2 s");
        assert_eq!(show(Duration::from_millis(49)), "0.0 s");
        assert_eq!(show(Duration::from_millis(59_960)), "1 min 00 s");
        assert_eq!(show(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn the_remaining_time_is_scaled_by_the_time_so_far() {
        let seconds = Duration::from_secs;
        assert_eq!(remaining(&[100, 50, 10], 1, seconds(200)), Some(seconds(120)));
        assert_eq!(remaining(&[100, 50, 10], 2, seconds(75)), Some(seconds(5)));
        assert_eq!(remaining(&[100, 50, 10], 2, seconds(10)), None, "nearly done");
        assert_eq!(remaining(&[100, 50, 10], 3, seconds(200)), None, "done");
        assert_eq!(remaining(&[], 1, seconds(200)), None, "no estimate");
        assert_eq!(remaining(&[0, 10], 1, seconds(200)), None, "nothing to scale by");
    }
}
