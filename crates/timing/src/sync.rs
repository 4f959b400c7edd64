//! [`ClockSync`]: a page's estimates of the clock offsets of its servers.

use crate::{Exchange, Interval};

/// The default limit for the drift between two clocks, in parts per million. Quartz clocks are accurate to about 50.
pub const DEFAULT_DRIFT_PPM: u32 = 100;

/// The maximum number of server instances remembered. The one that was used least recently is replaced.
const MAX_INSTANCES: usize = 16;
/// Longer names are not remembered: they are not valid instance ids, and memory is bounded.
const MAX_INSTANCE_BYTES: usize = 64;

/// The offset between a client's clock and a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Server clock minus client clock, in nanoseconds. Contains the true offset.
    pub interval: Interval,
    /// Whether other exchanges made the interval narrower than this exchange alone.
    pub narrowed: bool,
    /// Whether this exchange contradicts the earlier ones (sleep, a clock step), which are discarded.
    pub restarted: bool,
}

/// A page's estimates of the clock offsets of its servers, one for each server instance.
///
/// Every exchange bounds the offset. All bounds hold at the same time, so their intersection does too. A bound widens
/// with its age, because clocks drift.
#[derive(Clone, Debug)]
pub struct ClockSync {
    drift_ppm: u32,
    instances: Vec<Known>,
    /// The number of exchanges observed.
    observations: u64,
}

#[derive(Clone, Debug)]
struct Known {
    instance: String,
    /// The interval of the offset at `at_ns`.
    interval: Interval,
    /// A time by the client's clock.
    at_ns: i64,
    /// Whether it is based on more than one exchange.
    several: bool,
    /// The number of the last exchange with this instance.
    heard: u64,
}

impl ClockSync {
    /// Creates an empty set of estimates. `drift_ppm` is an upper bound of the drift between the clocks, see
    /// [`DEFAULT_DRIFT_PPM`].
    #[must_use]
    pub const fn new(drift_ppm: u32) -> Self {
        Self { drift_ppm, instances: Vec::new(), observations: 0 }
    }

    /// Adds an exchange with `instance`, and returns the offset during that exchange. Exchanges may be added in any
    /// order. `instance` is a `service.instance.id` of at most 64 bytes.
    pub fn observe(&mut self, instance: &str, exchange: &Exchange) -> Offset {
        let (t1_ns, t4_ns) = (exchange.t1_ns(), exchange.t4_ns());
        // The upper bound applies at t1 and the lower one at t4. Widened by the drift, both hold during the whole
        // exchange.
        let own = exchange.offset().widen(self.drift_ns(t1_ns, t4_ns));
        let alone = Offset { interval: own, narrowed: false, restarted: false };
        if instance.len() > MAX_INSTANCE_BYTES {
            return alone;
        }
        self.observations += 1;
        let heard = self.observations;
        let Some(known) = self.instances.iter_mut().find(|known| known.instance == instance) else {
            let new = Known { instance: instance.to_owned(), interval: own, at_ns: t4_ns, several: false, heard };
            if self.instances.len() < MAX_INSTANCES {
                self.instances.push(new);
            } else if let Some(oldest) = self.instances.iter_mut().min_by_key(|known| known.heard) {
                *oldest = new;
            }
            return alone;
        };
        known.heard = heard;
        let drift_ns = |a_ns: i64, b_ns: i64| drift_ns(a_ns.abs_diff(b_ns), self.drift_ppm);
        let during =
            known.interval.widen(drift_ns(t1_ns, known.at_ns).max(drift_ns(t4_ns, known.at_ns))).intersect(&own);
        // The stored interval applies at the later of the two instants: an exchange that is reported late is aged, the
        // others are not.
        let at_ns = t4_ns.max(known.at_ns);
        let kept = known.interval.widen(drift_ns(known.at_ns, at_ns)).intersect(&own.widen(drift_ns(t4_ns, at_ns)));
        if let (Some(interval), Some(kept)) = (during, kept) {
            known.several = true;
            known.interval = kept;
            known.at_ns = at_ns;
            Offset { interval, narrowed: interval != own, restarted: false }
        } else {
            known.several = false;
            known.interval = own;
            known.at_ns = t4_ns;
            Offset { restarted: true, ..alone }
        }
    }

    /// Returns the offset of `instance` at `now_ns`, by the client's clock; `None` if the instance is unknown. It
    /// counts as narrowed if it is based on more than one exchange.
    #[must_use]
    pub fn current(&self, instance: &str, now_ns: i64) -> Option<Offset> {
        let known = self.instances.iter().find(|known| known.instance == instance)?;
        let interval = known.interval.widen(self.drift_ns(known.at_ns, now_ns));
        Some(Offset { interval, narrowed: known.several, restarted: false })
    }

    /// Discards all estimates. Call it after sleep or a step of the client's clock.
    pub fn reset(&mut self) {
        self.instances.clear();
    }

    fn drift_ns(&self, a_ns: i64, b_ns: i64) -> i64 {
        drift_ns(a_ns.abs_diff(b_ns), self.drift_ppm)
    }
}

/// Returns the maximum drift between two clocks in `span_ns`, rounded up.
pub(crate) fn drift_ns(span_ns: u64, drift_ppm: u32) -> i64 {
    // Whole milliseconds are computed separately: 128-bit division would add to the download of every page.
    let (whole, rest) = (span_ns / 1_000_000, span_ns % 1_000_000);
    let ppm = u64::from(drift_ppm);
    let drift = whole.saturating_mul(ppm).saturating_add((rest * ppm).div_ceil(1_000_000));
    i64::try_from(drift).unwrap_or(i64::MAX)
}

impl Default for ClockSync {
    fn default() -> Self {
        Self::new(DEFAULT_DRIFT_PPM)
    }
}
