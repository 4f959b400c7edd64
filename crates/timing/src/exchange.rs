//! [`Exchange`]: the times of one request and its response, by two clocks.

use crate::{
    Interval,
    interval::{minus, plus},
    sync::{DEFAULT_DRIFT_PPM, drift_ns},
};
use thiserror::Error;

/// Four instants: the client sent the request at t1 and received the response at t4, by its own clock; the server
/// received it at t2 and responded at t3, by its clock. All in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    t1_ns: i64,
    t2_ns: i64,
    t3_ns: i64,
    t4_ns: i64,
    quantum_ns: i64,
}

/// The reason why four instants are not a valid exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// An instant is more than 146 years from the Unix epoch, which no clock reports.
    #[error("an instant is more than 146 years from the Unix epoch")]
    OutOfRange,
    /// The timer quantum is negative or longer than a second.
    #[error("the timer quantum is not between 0 and 1 second")]
    Quantum,
    /// The client received the response before it sent the request.
    #[error("the client received the response before it sent the request")]
    ClientOrder,
    /// The server responded before it received the request.
    #[error("the server responded before it received the request")]
    ServerOrder,
    /// The server's duration exceeds the client's by more than two quanta and the clock drift in that time
    /// ([`DEFAULT_DRIFT_PPM`]).
    #[error("the server took longer than the client waited")]
    ServerLonger,
}

/// Limits instants so that differences of two instants, and of two such differences of the same sign, fit in 64 bits.
const MAX_INSTANT_NS: i64 = (1 << 62) - 1;
const MAX_QUANTUM_NS: i64 = 1_000_000_000;

impl Exchange {
    /// Creates an exchange of a client whose timer has an error of at most ±`quantum_ns`.
    ///
    /// # Errors
    /// Returns an [`ExchangeError`] if the instants contradict each other or are out of range.
    pub fn new(t1_ns: i64, t2_ns: i64, t3_ns: i64, t4_ns: i64, quantum_ns: i64) -> Result<Self, ExchangeError> {
        let in_range = |t: i64| (-MAX_INSTANT_NS..=MAX_INSTANT_NS).contains(&t);
        if ![t1_ns, t2_ns, t3_ns, t4_ns].into_iter().all(in_range) {
            return Err(ExchangeError::OutOfRange);
        }
        if !(0..=MAX_QUANTUM_NS).contains(&quantum_ns) {
            return Err(ExchangeError::Quantum);
        }
        if t4_ns < t1_ns {
            return Err(ExchangeError::ClientOrder);
        }
        if t3_ns < t2_ns {
            return Err(ExchangeError::ServerOrder);
        }
        let (server_ns, client_ns) = (t3_ns - t2_ns, t4_ns - t1_ns);
        // Otherwise a nearby server that works for a second would be rejected because its clock is 50 µs fast.
        let drift_ns = drift_ns(server_ns.unsigned_abs(), DEFAULT_DRIFT_PPM);
        if server_ns - client_ns > plus(drift_ns, 2 * quantum_ns) {
            return Err(ExchangeError::ServerLonger);
        }
        Ok(Self { t1_ns, t2_ns, t3_ns, t4_ns, quantum_ns })
    }

    /// Returns when the client sent the request, by its clock.
    #[must_use]
    pub const fn t1_ns(&self) -> i64 {
        self.t1_ns
    }

    /// Returns when the server received the request, by its clock.
    #[must_use]
    pub const fn t2_ns(&self) -> i64 {
        self.t2_ns
    }

    /// Returns when the server responded, by its clock.
    #[must_use]
    pub const fn t3_ns(&self) -> i64 {
        self.t3_ns
    }

    /// Returns when the client received the response, by its clock.
    #[must_use]
    pub const fn t4_ns(&self) -> i64 {
        self.t4_ns
    }

    /// Returns the maximum error of the client's timer in either direction.
    #[must_use]
    pub const fn quantum_ns(&self) -> i64 {
        self.quantum_ns
    }

    /// Returns the network time up and down together: `(t4 - t1) - (t3 - t2)`. It does not depend on the clock offset,
    /// and its error is at most two quanta. Zero if the timer error makes it negative.
    #[must_use]
    pub const fn network_total_ns(&self) -> i64 {
        let total_ns = self.client_ns() - self.server_ns();
        if total_ns < 0 { 0 } else { total_ns }
    }

    /// Returns the time from the receipt of the request to the response, by the server's clock.
    #[must_use]
    pub const fn server_ns(&self) -> i64 {
        self.t3_ns - self.t2_ns
    }

    /// Returns the time from the request to the receipt of the response, by the client's clock.
    #[must_use]
    pub const fn client_ns(&self) -> i64 {
        self.t4_ns - self.t1_ns
    }

    /// Returns the possible offsets (server clock minus client clock) from this exchange alone. No network time is
    /// negative, so the interval is `[t3 - t4, t2 - t1]`, plus the timer quantum on each side.
    #[must_use]
    pub fn offset(&self) -> Interval {
        // If drift swaps the two ends, the interval between them still contains the true offsets during the exchange.
        Interval::between(
            minus(self.t3_ns - self.t4_ns, self.quantum_ns),
            plus(self.t2_ns - self.t1_ns, self.quantum_ns),
        )
    }
}
