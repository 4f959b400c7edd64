//! Time and random ids of the page, independent of the browser's API.

use std::cell::Cell;

use throughline_context::{SpanId, TraceId};

/// A source of time.
pub(crate) trait Clock {
    /// Returns milliseconds since the page's time origin, as in the entries of the performance timeline. Monotonic.
    fn page_ms(&self) -> f64;
    /// Returns Unix milliseconds by the wall clock, which may be set.
    fn wall_ms(&self) -> f64;
}

/// A source of random bytes.
pub(crate) trait Random {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The difference between the two clocks from which a new anchor is taken, milliseconds: `performance.now()` stops
/// while a laptop sleeps, and the wall clock may be set.
const STEP_MS: f64 = 20.0;

/// Unix time that is monotonic between two comparisons with the wall clock.
#[derive(Debug)]
pub(crate) struct Timeline<C> {
    clock: C,
    /// Unix milliseconds at page millisecond 0.
    anchor_ms: Cell<f64>,
}

impl<C: Clock> Timeline<C> {
    /// Creates a timeline; `origin_ms` is the page's time origin in Unix milliseconds.
    pub(crate) const fn new(clock: C, origin_ms: f64) -> Self {
        Self { clock, anchor_ms: Cell::new(origin_ms) }
    }

    pub(crate) fn page_ms(&self) -> f64 {
        self.clock.page_ms()
    }

    pub(crate) fn wall_ms(&self) -> f64 {
        self.clock.wall_ms()
    }

    /// Returns the source of time.
    pub(crate) const fn clock(&self) -> &C {
        &self.clock
    }

    /// Returns the current anchor. A span keeps the one it started with, so that its length is monotonic.
    pub(crate) const fn anchor_ms(&self) -> f64 {
        self.anchor_ms.get()
    }

    /// Converts a time of the performance timeline to Unix nanoseconds.
    pub(crate) fn unix_ns(&self, page_ms: f64) -> i64 {
        unix_ns(self.anchor_ms.get(), page_ms)
    }

    pub(crate) fn now_ns(&self) -> i64 {
        self.unix_ns(self.page_ms())
    }

    /// Compares the two clocks and returns whether they diverged, in which case the anchor is new.
    pub(crate) fn stepped(&self) -> bool {
        let anchor_ms = self.clock.wall_ms() - self.clock.page_ms();
        let moved_ms = anchor_ms - self.anchor_ms.get();
        // A broken clock may return NaN; it is ignored.
        if moved_ms.is_nan() || moved_ms.abs() < STEP_MS {
            return false;
        }
        self.anchor_ms.set(anchor_ms);
        true
    }
}

/// Converts a time of the performance timeline to Unix nanoseconds, given an anchor.
///
/// The anchor and the time are rounded separately: their sum in milliseconds as one double would lose 200 ns.
#[inline(never)]
pub(crate) fn unix_ns(anchor_ms: f64, page_ms: f64) -> i64 {
    ((anchor_ms * 1e6 + 0.5) as i64).saturating_add((page_ms * 1e6 + 0.5) as i64)
}

/// The number of random bytes that are fetched at once: a call into the browser costs more than the bytes.
const POOL_BYTES: usize = 512;

/// A generator of trace and span ids.
#[derive(Debug)]
pub(crate) struct Ids<R> {
    random: R,
    pool: [u8; POOL_BYTES],
    used: usize,
}

impl<R: Random> Ids<R> {
    pub(crate) const fn new(random: R) -> Self {
        Self { random, pool: [0; POOL_BYTES], used: POOL_BYTES }
    }

    /// Returns random bytes, none of them twice.
    fn next<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > POOL_BYTES {
            self.random.fill(&mut self.pool);
            self.used = 0;
        }
        let at = self.used;
        self.used += N;
        self.pool.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([1; N])
    }

    pub(crate) fn trace_id(&mut self) -> TraceId {
        // All zero is invalid. The loop ends because a source that returns only zeros is replaced by its caller.
        loop {
            if let Some(id) = TraceId::from_bytes(self.next()) {
                return id;
            }
        }
    }

    pub(crate) fn span_id(&mut self) -> SpanId {
        loop {
            if let Some(id) = SpanId::from_bytes(self.next()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Fake {
        page_ms: Cell<f64>,
        wall_ms: Cell<f64>,
    }

    impl Clock for &Fake {
        fn page_ms(&self) -> f64 {
            self.page_ms.get()
        }

        fn wall_ms(&self) -> f64 {
            self.wall_ms.get()
        }
    }

    impl Fake {
        fn at(origin_ms: f64) -> Self {
            Self { page_ms: Cell::new(0.0), wall_ms: Cell::new(origin_ms) }
        }

        fn pass(&self, page_ms: f64, wall_ms: f64) {
            self.page_ms.set(self.page_ms.get() + page_ms);
            self.wall_ms.set(self.wall_ms.get() + wall_ms);
        }
    }

    const ORIGIN: f64 = 1.75e12;

    #[test]
    fn small_differences_between_the_clocks_are_ignored() {
        let fake = Fake::at(ORIGIN);
        let timeline = Timeline::new(&fake, ORIGIN);
        fake.pass(10_000.0, 10_000.0 + STEP_MS / 2.0);
        assert!(!timeline.stepped());
        assert_eq!(timeline.now_ns(), (ORIGIN as i64 + 10_000) * 1_000_000);
    }

    #[test]
    fn after_sleep_time_follows_the_wall_clock() {
        let fake = Fake::at(ORIGIN);
        let timeline = Timeline::new(&fake, ORIGIN);
        // An hour of sleep, during which the monotonic clock stopped.
        fake.pass(5.0, 3_600_005.0);
        assert!(timeline.stepped());
        assert_eq!(timeline.now_ns(), (ORIGIN as i64 + 3_600_005) * 1_000_000);
        assert!(!timeline.stepped(), "the step is reported once");
    }

    #[test]
    fn a_clock_set_back_makes_no_span_negative() {
        let fake = Fake::at(ORIGIN);
        let timeline = Timeline::new(&fake, ORIGIN);
        let (anchor_ms, start_ms) = (timeline.anchor_ms(), timeline.page_ms());
        fake.pass(7.0, -60_000.0);
        assert!(timeline.stepped());
        let length_ns = unix_ns(anchor_ms, timeline.page_ms()) - unix_ns(anchor_ms, start_ms);
        assert_eq!(length_ns, 7_000_000, "a span keeps the anchor it began with");
    }

    #[test]
    fn a_broken_clock_is_ignored() {
        let fake = Fake::at(ORIGIN);
        let timeline = Timeline::new(&fake, ORIGIN);
        fake.wall_ms.set(f64::NAN);
        assert!(!timeline.stepped());
        assert_eq!(timeline.now_ns(), ORIGIN as i64 * 1_000_000);
    }

    proptest! {
        #[test]
        fn conversion_preserves_order(origin in 1.6e12..2e12, a in 0.0..1e9, b in 0.0..1e9) {
            prop_assert_eq!(unix_ns(origin, a) <= unix_ns(origin, b), a <= b || unix_ns(origin, a) == unix_ns(origin, b));
        }

        #[test]
        fn any_number_is_converted_without_a_panic(anchor: f64, page: f64) {
            unix_ns(anchor, page);
        }
    }

    /// A counter that starts at zero, so that every byte sequence is new.
    struct Counting(Cell<u64>);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for eight in bytes.chunks_mut(8) {
                let number = self.0.replace(self.0.get() + 1);
                eight.copy_from_slice(&number.to_be_bytes()[..eight.len()]);
            }
        }
    }

    #[test]
    fn ids_are_unique_and_never_zero() {
        let mut ids = Ids::new(Counting(Cell::new(0)));
        let spans: HashSet<_> = (0..2_000).map(|_| ids.span_id()).collect();
        assert_eq!(spans.len(), 2_000);
        let traces: HashSet<_> = (0..2_000).map(|_| ids.trace_id()).collect();
        assert_eq!(traces.len(), 2_000);
    }
}
