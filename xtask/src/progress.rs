//! Steps as a person sees them: announced when they start, timed when they end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Numbers the steps of one task and prints how long each took.
pub(crate) struct Progress {
    started: usize,
    total: usize,
}

impl Progress {
    /// For a task of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { started: 0, total }
    }

    /// Runs one step between its two lines.
    pub(crate) fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let label = self.announce(what);
        println!("{label} …");
        let start = Instant::now();
        let result = work();
        let elapsed = show(start.elapsed());
        match &result {
            Ok(_) => println!("{label} … {elapsed}"),
            Err(_) => println!("{label} … failed after {elapsed}"),
        }
        result
    }

    /// Announces a step that returns no more, such as handing over to the server.
    pub(crate) fn last(&mut self, what: &str) {
        println!("{} …", self.announce(what));
    }

    /// Counts a step for which there is nothing to do.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        println!("{} … {why}", self.announce(what));
    }

    fn announce(&mut self, what: &str) -> String {
        self.started += 1;
        format!("[{}/{}] {what}", self.started, self.total)
    }
}

/// A duration as a person would say it: `41.2 s`, `3 min 05 s`.
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
    fn durations_read_naturally() {
        assert_eq!(show(Duration::from_millis(41_240)), "41.2 s");
        assert_eq!(show(Duration::from_millis(49)), "0.0 s");
        assert_eq!(show(Duration::from_millis(59_960)), "1 min 00 s");
        assert_eq!(show(Duration::from_secs(185)), "3 min 05 s");
    }
}
