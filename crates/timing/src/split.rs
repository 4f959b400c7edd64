//! [`Split`]: the division of the network time into uplink and downlink.

use crate::{
    Exchange, Interval, Offset,
    interval::{minus, plus},
};

/// The largest error that counts as a measurement.
const MEASURED_NS: i64 = 1_000_000;

/// The method by which an uplink time was determined. An estimate is never presented as a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Known to within ±1 millisecond.
    Measured,
    /// The middle of an interval that was narrowed by other exchanges.
    Bounded,
    /// The middle of the possible range: half of the total, as if both directions took the same time.
    AssumedSymmetric,
}

impl Method {
    /// All methods, the most exact first.
    pub const ALL: [Self; 3] = [Self::Measured, Self::Bounded, Self::AssumedSymmetric];

    /// Returns the method with this name, as returned by [`Method::as_str`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Returns a description of the method.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Measured => "measured: the clocks are known to within a millisecond",
            Self::Bounded => "bounded: several requests narrow the clock offset",
            Self::AssumedSymmetric => "assumed symmetric: half of the total in each direction, ± that half",
        }
    }

    /// Returns the name, as in the attribute `throughline.network.method`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Bounded => "bounded",
            Self::AssumedSymmetric => "assumed_symmetric",
        }
    }
}

/// The network time of one exchange. All times are in nanoseconds of the client's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Uplink and downlink together, without the server: `uplink_ns + downlink_ns`.
    pub total_ns: i64,
    /// The best estimate of the time from the client to the server, in `0..=total_ns`.
    pub uplink_ns: i64,
    /// The best estimate of the time from the server to the client, in `0..=total_ns`.
    pub downlink_ns: i64,
    /// The maximum error of `uplink_ns`: half the width of the interval of the true uplink, plus the error of the
    /// client's timer.
    pub error_ns: i64,
    /// The best estimate of server clock minus client clock.
    pub offset_ns: i64,
    /// The maximum error of `offset_ns`.
    pub offset_error_ns: i64,
    /// The method of the estimate.
    pub method: Method,
}

impl Split {
    /// Splits the network time of `exchange`, given the offset that [`ClockSync::observe`](crate::ClockSync::observe)
    /// returned for it.
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

        // The total and t1 are only known to the timer's quantum, so the true uplink may lie slightly outside of the
        // interval from which the estimate was chosen. It is never farther below the estimate than above it, because
        // the uplink is at least zero.
        let error_ns = minus(plus(longest_ns, quantum_ns), uplink_ns).max(0);

        // The offset that matches this uplink, not the middle of its interval: a span shifted by it must lie within its
        // fetch, at the reported times.
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
