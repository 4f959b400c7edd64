//! Which part of the network's time was the way up, and which the way down.

use crate::{
    Exchange, Interval, Offset,
    interval::{minus, plus},
};

/// An error no greater than this counts as a measurement.
const MEASURED_NS: i64 = 1_000_000;

/// How an uplink time came about. An estimate never looks like a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Known to a millisecond, either way.
    Measured,
    /// The middle of an interval that other exchanges narrowed.
    Bounded,
    /// The middle of what is possible: half the total, as if both ways took the same time.
    AssumedSymmetric,
}

impl Method {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::Measured, Self::Bounded, Self::AssumedSymmetric];

    /// The method with the name that [`Method::as_str`] returns.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// How the estimate was made, in words.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Measured => "measured: the clocks are known to within a millisecond",
            Self::Bounded => "bounded: several requests narrow the clock offset",
            Self::AssumedSymmetric => "assumed symmetric: half of the total each way, give or take all of it",
        }
    }

    /// As in the attribute `throughline.network.method`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Bounded => "bounded",
            Self::AssumedSymmetric => "assumed_symmetric",
        }
    }
}

/// The network's part in one exchange. All times in nanoseconds of the client's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Up and down together, without the server: `uplink_ns + downlink_ns`.
    pub total_ns: i64,
    /// From the client to the server, the best estimate: in `0..=total_ns`.
    pub uplink_ns: i64,
    /// From the server to the client, likewise.
    pub downlink_ns: i64,
    /// The true uplink is within this of `uplink_ns`: half the width of the interval in which it lies, and what
    /// the client's timer hides.
    pub error_ns: i64,
    /// Server clock minus client clock, the best estimate.
    pub offset_ns: i64,
    /// The true offset is within this of `offset_ns`.
    pub offset_error_ns: i64,
    /// Where the estimate comes from.
    pub method: Method,
}

impl Split {
    /// Divides the network time of `exchange`, given what [`ClockSync::observe`](crate::ClockSync::observe) said
    /// of it.
    #[must_use]
    pub fn of(exchange: &Exchange, offset: &Offset) -> Self {
        let total_ns = exchange.network_total_ns();
        let quantum_ns = exchange.quantum_ns();
        let raw_ns = exchange.t2_ns() - exchange.t1_ns();
        // uplink = t2 - t1 - offset, at both ends of the offset's interval.
        let shortest_ns = minus(raw_ns, offset.interval.hi_ns());
        let longest_ns = minus(raw_ns, offset.interval.lo_ns());
        let possible = Interval::between(shortest_ns.clamp(0, total_ns), longest_ns.clamp(0, total_ns));
        let uplink_ns = possible.midpoint_ns();

        // The total is only known to the timer's quantum, and so is t1: the truth may lie a little outside of what
        // the estimate was chosen from. It never lies farther below the estimate than above: below, zero is the limit.
        let error_ns = minus(plus(longest_ns, quantum_ns), uplink_ns).max(0);

        // The offset that goes with this uplink, not the middle of its interval: a span that is moved by it must land where
        // the figures say, inside of its fetch.
        let offset_ns = raw_ns - uplink_ns;
        let Offset { interval, .. } = offset;
        let offset_error_ns = minus(interval.hi_ns(), offset_ns).max(minus(offset_ns, interval.lo_ns())).max(0);

        let method = if error_ns <= MEASURED_NS {
            Method::Measured
        } else if offset.narrowed {
            Method::Bounded
        } else {
            Method::AssumedSymmetric
        };
        Self { total_ns, uplink_ns, downlink_ns: total_ns - uplink_ns, error_ns, offset_ns, offset_error_ns, method }
    }
}
