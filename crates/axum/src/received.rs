//! The time at which a request was received.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The maximum time between the readings of the two clocks.
const MAX_GAP: Duration = Duration::from_micros(50);
/// The maximum number of attempts to read them that close together. If all fail, the machine is too busy to be exact.
const MAX_READINGS: usize = 8;
/// How long the offset between the two clocks is reused. A wall clock change or a sleep of the machine is noticed after
/// this time.
const MAX_AGE: Duration = Duration::from_millis(10);

thread_local! {
    /// The last reading of both clocks.
    static LAST: Cell<Option<Received>> = const { Cell::new(None) };
}

/// A point in time by the wall clock, for reported times, and by the monotonic clock, for durations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) wall: SystemTime,
    instant: Instant,
}

impl Received {
    pub(crate) fn now() -> Self {
        LAST.with(|last| Self::next(last, Instant::now, SystemTime::now))
    }

    /// Derives the time from the last reading of both clocks while it is recent, and reads both clocks otherwise.
    fn next(last: &Cell<Option<Self>>, mut instant: impl FnMut() -> Instant, wall: impl FnMut() -> SystemTime) -> Self {
        let received = last.get().and_then(|last| last.after(instant()));
        received.unwrap_or_else(|| {
            let received = Self::read(instant, wall);
            last.set(Some(received));
            received
        })
    }

    /// Returns the wall clock time at `instant`, if that is soon after `self`. Reading the wall clock costs as much as
    /// encoding half of a span's attributes, and reading it together with the monotonic clock costs twice that.
    fn after(self, instant: Instant) -> Option<Self> {
        let since = instant.checked_duration_since(self.instant).filter(|since| *since < MAX_AGE)?;
        Some(Self { wall: self.wall.checked_add(since)?, instant })
    }

    /// Reads both clocks at the same time. If the thread were interrupted in between, the reported times would be too
    /// early, and every clock estimate based on them would be wrong.
    fn read(mut instant: impl FnMut() -> Instant, mut wall: impl FnMut() -> SystemTime) -> Self {
        let mut before = instant();
        let mut received = Self { wall: wall(), instant: before };
        for _ in 1..MAX_READINGS {
            let after = instant();
            if after.saturating_duration_since(before) <= MAX_GAP {
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

    /// Returns the time of receipt by the wall clock, in Unix nanoseconds.
    pub(crate) fn unix_ns(self) -> i64 {
        // A wall clock before 1970 counts as 1970: OTLP has no earlier time.
        let since_epoch = self.wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Returns the time `length` after receipt, in Unix nanoseconds. A wall clock change during a request does not make
    /// its duration negative.
    pub(crate) fn unix_ns_after(self, length: Duration) -> i64 {
        self.unix_ns().saturating_add(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Reads two clocks that agree exactly, on a machine that pauses for the given time before each reading.
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
    fn both_clocks_are_read_at_the_same_time() {
        let interrupted: [&[u64]; 5] =
            [&[], &[0, 7_000], &[0, 1, 7_000], &[0, 7_000, 7_000], &[0, 900, 0, 51, 0, 7_000, 300_000, 60, 60]];
        for pauses_us in interrupted {
            let (instant, wall) = read(pauses_us);
            assert!(wall >= instant && wall - instant <= MAX_GAP, "{pauses_us:?}: {instant:?} and {wall:?}");
        }
    }

    #[test]
    fn a_recent_reading_of_both_clocks_is_reused() {
        let last = Received::read(Instant::now, SystemTime::now);
        let after = |length| last.after(last.instant + length);
        for length in [Duration::ZERO, Duration::from_nanos(1), MAX_AGE - Duration::from_nanos(1)] {
            let received = after(length).unwrap();
            assert_eq!((received.instant - last.instant, received.wall), (length, last.wall + length));
        }
        assert!(after(MAX_AGE).is_none());
        let earlier = Received { instant: last.instant + MAX_AGE, ..last };
        assert!(earlier.after(last.instant).is_none());
    }

    #[test]
    fn a_wall_clock_change_is_noticed_however_often_it_is_read() {
        let (start, passed, set_by) = (Instant::now(), Cell::new(Duration::ZERO), Cell::new(Duration::ZERO));
        let last = Cell::new(None);
        let error = || {
            let received = Received::next(&last, || start + passed.get(), || UNIX_EPOCH + passed.get() + set_by.get());
            received.wall.duration_since(UNIX_EPOCH).unwrap() - passed.get()
        };
        assert_eq!(error(), Duration::ZERO);
        let hour = Duration::from_secs(3_600);
        set_by.set(hour);
        for _ in 1..10 {
            passed.set(passed.get() + MAX_AGE / 10);
            assert_eq!(error(), Duration::ZERO, "the last reading is reused");
        }
        passed.set(passed.get() + MAX_AGE / 10);
        assert_eq!(error(), hour);
    }

    #[test]
    fn reading_the_clocks_gives_up_on_a_busy_machine() {
        let (instant, wall) = read(&[100; 1_000]);
        assert_eq!(wall - instant, Duration::from_micros(100));
    }
}
