//! What a page learns about the clocks of the servers it talks to.

use crate::{Exchange, Interval};

/// How fast two clocks may move apart, in parts per million, if nobody knows better: quartz is good to about 50.
pub const DEFAULT_DRIFT_PPM: u32 = 100;

/// How many server instances are remembered; the one not heard of for longest goes.
const MAX_INSTANCES: usize = 16;
/// Longer names are not remembered: they are none of ours, and memory is bounded.
const MAX_INSTANCE_BYTES: usize = 64;

/// The offset between the client's clock and a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Server clock minus client clock, nanoseconds: the truth is in here.
    pub interval: Interval,
    /// Other exchanges made this one's own interval narrower.
    pub narrowed: bool,
    /// This exchange contradicts those before (sleep, a clock step), and stands alone now.
    pub restarted: bool,
}

/// One page's knowledge of offsets, for each server instance.
///
/// Every exchange bounds the offset; all bounds hold at once, so their intersection does. A bound gets wider with
/// its age, as clocks drift.
#[derive(Clone, Debug)]
pub struct ClockSync {
    drift_ppm: u32,
    instances: Vec<Known>,
    /// How many exchanges there were.
    observations: u64,
}

#[derive(Clone, Debug)]
struct Known {
    instance: String,
    /// Holds at `at_ns`.
    interval: Interval,
    /// In the client's clock.
    at_ns: i64,
    /// More than one exchange is behind it.
    several: bool,
    /// By which of all exchanges it was heard of last.
    heard: u64,
}

impl ClockSync {
    /// Knows nothing yet; `drift_ppm` is an upper bound on how fast the clocks move apart, see
    /// [`DEFAULT_DRIFT_PPM`].
    #[must_use]
    pub const fn new(drift_ppm: u32) -> Self {
        Self { drift_ppm, instances: Vec::new(), observations: 0 }
    }

    /// Takes an exchange with `instance` into account, in whatever order exchanges end, and says what offset
    /// held during it. `instance` is a `service.instance.id`, at most 64 bytes.
    pub fn observe(&mut self, instance: &str, exchange: &Exchange) -> Offset {
        let (t1_ns, t4_ns) = (exchange.t1_ns(), exchange.t4_ns());
        // The upper bound is of t1, the lower one of t4: with this both hold all the time between.
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
        // What is kept holds at the later of the two instants: an exchange that is told late ages, not the rest.
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

    /// What is known of `instance` at `now_ns`, by the client's clock; `None` if nothing is. It counts as narrowed
    /// if more than one exchange is behind it.
    #[must_use]
    pub fn current(&self, instance: &str, now_ns: i64) -> Option<Offset> {
        let known = self.instances.iter().find(|known| known.instance == instance)?;
        let interval = known.interval.widen(self.drift_ns(known.at_ns, now_ns));
        Some(Offset { interval, narrowed: known.several, restarted: false })
    }

    /// Forgets everything: after sleep, or a step of the client's clock.
    pub fn reset(&mut self) {
        self.instances.clear();
    }

    fn drift_ns(&self, a_ns: i64, b_ns: i64) -> i64 {
        drift_ns(a_ns.abs_diff(b_ns), self.drift_ppm)
    }
}

/// How far two clocks can move apart in `span_ns`, rounded up.
pub(crate) fn drift_ns(span_ns: u64, drift_ppm: u32) -> i64 {
    // The whole milliseconds apart from the rest: 128-bit division would be downloaded by every page.
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
