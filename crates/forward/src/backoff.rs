//! Exponential backoff after failures.

use crate::BackoffConfig;
use std::time::Duration;

/// The state of one sink's backoff.
#[derive(Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(config: BackoffConfig) -> Self {
        Self { config, failures: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure, and returns the time to wait. `chance` is a uniform random number.
    pub(crate) fn next(&mut self, chance: u32) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let longest = self.config.initial.saturating_mul(factor).min(self.config.max);
        let half = longest / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

/// Returns a uniform random number, or a fixed one if the system has no randomness: the wait is then not random.
pub(crate) fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BackoffConfig = BackoffConfig { initial: Duration::from_secs(1), max: Duration::from_secs(60) };

    #[test]
    fn the_wait_doubles_up_to_the_limit_and_is_reset() {
        let mut backoff = Backoff::new(CONFIG);
        let longest: Vec<_> = (0..8).map(|_| backoff.next(u32::MAX).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn jitter_shortens_the_wait_by_at_most_half() {
        let mut backoff = Backoff::new(CONFIG);
        assert_eq!(backoff.next(0), Duration::from_millis(500));
        assert_eq!(backoff.next(0), Duration::from_secs(1));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut backoff = Backoff::new(CONFIG);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next(u32::MAX), Duration::from_secs(60));
    }
}
