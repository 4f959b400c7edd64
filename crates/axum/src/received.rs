//! When a request was received.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far apart the readings of the two clocks may be.
const TOGETHER: Duration = Duration::from_micros(50);
/// How often they are read for that: a machine that interrupts each time is too busy to be exact.
const MAX_READINGS: usize = 8;

/// By the wall clock for others, by the monotonic one for lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) wall: SystemTime,
    instant: Instant,
}

impl Received {
    pub(crate) fn now() -> Self {
        Self::read(Instant::now, SystemTime::now)
    }

    /// Reads both at one time. A thread that is interrupted between them would tell times that are early by as much, and every
    /// clock that is compared with them would be off.
    fn read(mut instant: impl FnMut() -> Instant, mut wall: impl FnMut() -> SystemTime) -> Self {
        let mut before = instant();
        let mut received = Self { wall: wall(), instant: before };
        for _ in 1..MAX_READINGS {
            let after = instant();
            if after.saturating_duration_since(before) <= TOGETHER {
                break;
            }
            before = after;
            received = Self { wall: wall(), instant: before };
        }
        received
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.instant.elapsed()
    }

    pub(crate) fn unix_ns(self) -> i64 {
        let since_epoch = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
    }

    /// So long after the reception, in Unix nanoseconds: a wall clock that is set while a request is handled does not make its
    /// length negative.
    pub(crate) fn unix_ns_after(self, length: Duration) -> i64 {
        self.unix_ns().saturating_add(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Reads clocks of which the one is always right about the other, on a machine that takes as long as given before each reading.
    fn read(pauses_us: &[u64]) -> (Duration, Duration) {
        let (start, passed, pauses) = (Instant::now(), Cell::new(Duration::ZERO), RefCell::new(pauses_us.iter()));
        let next = || {
            let pause_us = pauses.borrow_mut().next().copied().unwrap_or(1);
            passed.set(passed.get() + Duration::from_micros(pause_us));
            passed.get()
        };
        let received = Received::read(|| start + next(), || UNIX_EPOCH + next());
        (received.instant - start, received.wall.duration_since(UNIX_EPOCH).unwrap())
    }

    #[test]
    fn both_clocks_are_read_at_one_time() {
        let interrupted: [&[u64]; 5] =
            [&[], &[0, 7_000], &[0, 1, 7_000], &[0, 7_000, 7_000], &[0, 900, 0, 51, 0, 7_000, 300_000, 60, 60]];
        for pauses_us in interrupted {
            let (instant, wall) = read(pauses_us);
            assert!(wall >= instant && wall - instant <= TOGETHER, "{pauses_us:?}: {instant:?} and {wall:?}");
        }
    }

    #[test]
    fn a_machine_that_interrupts_each_time_is_not_waited_for() {
        let (instant, wall) = read(&[100; 1_000]);
        assert_eq!(wall - instant, Duration::from_micros(100));
    }
}
