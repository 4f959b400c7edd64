//! When a request was received.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How far apart the readings of the two clocks may be.
const TOGETHER: Duration = Duration::from_micros(50);
/// How often they are read for that: a machine that interrupts each time is too busy to be exact.
const MAX_READINGS: usize = 8;
/// For so long what both clocks said once tells what the one says from the other. A wall clock that is set, or a machine that has slept,
/// is noticed after this.
const KEPT: Duration = Duration::from_millis(10);

thread_local! {
    /// When both clocks were read last.
    static LAST: Cell<Option<Received>> = const { Cell::new(None) };
}

/// By the wall clock for others, by the monotonic one for lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) wall: SystemTime,
    instant: Instant,
}

impl Received {
    pub(crate) fn now() -> Self {
        LAST.with(|last| Self::next(last, Instant::now, SystemTime::now))
    }

    /// By the last reading of both clocks as long as that is kept, else by another one.
    fn next(last: &Cell<Option<Self>>, mut instant: impl FnMut() -> Instant, wall: impl FnMut() -> SystemTime) -> Self {
        let received = last.get().and_then(|last| last.after(instant()));
        received.unwrap_or_else(|| {
            let received = Self::read(instant, wall);
            last.set(Some(received));
            received
        })
    }

    /// What the wall clock says at `instant`, if that is soon after: to read it costs as much as encoding half of a span's
    /// attributes, and to read it at one time with the other twice that.
    fn after(self, instant: Instant) -> Option<Self> {
        let since = instant.checked_duration_since(self.instant).filter(|since| *since < KEPT)?;
        Some(Self { wall: self.wall.checked_add(since)?, instant })
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

    /// The time of the reception by the wall clock, in Unix nanoseconds.
    pub(crate) fn unix_ns(self) -> i64 {
        // A wall clock that is set to a time before 1970 counts as 1970: OTLP has no earlier time.
        let since_epoch = self.wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
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
    fn one_clock_tells_the_other_for_a_while() {
        let last = Received::read(Instant::now, SystemTime::now);
        let after = |length| last.after(last.instant + length);
        for length in [Duration::ZERO, Duration::from_nanos(1), KEPT - Duration::from_nanos(1)] {
            let received = after(length).unwrap();
            assert_eq!((received.instant - last.instant, received.wall), (length, last.wall + length));
        }
        assert!(after(KEPT).is_none());
        let earlier = Received { instant: last.instant + KEPT, ..last };
        assert!(earlier.after(last.instant).is_none());
    }

    #[test]
    fn a_wall_clock_that_is_set_is_noticed_however_often_it_is_asked() {
        let (start, passed, set_by) = (Instant::now(), Cell::new(Duration::ZERO), Cell::new(Duration::ZERO));
        let last = Cell::new(None);
        let ask = || {
            let received = Received::next(&last, || start + passed.get(), || UNIX_EPOCH + passed.get() + set_by.get());
            received.wall.duration_since(UNIX_EPOCH).unwrap() - passed.get()
        };
        assert_eq!(ask(), Duration::ZERO);
        let hour = Duration::from_secs(3_600);
        set_by.set(hour);
        for _ in 1..10 {
            passed.set(passed.get() + KEPT / 10);
            assert_eq!(ask(), Duration::ZERO, "what was read once is kept");
        }
        passed.set(passed.get() + KEPT / 10);
        assert_eq!(ask(), hour);
    }

    #[test]
    fn a_machine_that_interrupts_each_time_is_not_waited_for() {
        let (instant, wall) = read(&[100; 1_000]);
        assert_eq!(wall - instant, Duration::from_micros(100));
    }
}
