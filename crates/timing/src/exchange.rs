//! One request and its response, by two clocks.

use crate::{
    Interval,
    interval::{minus, plus},
    sync::{DEFAULT_DRIFT_PPM, drift_ns},
};
use thiserror::Error;

/// Four instants: the client sent at t1 and received at t4, by its own clock; the server received at t2 and sent
/// at t3, by another. All in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    t1_ns: i64,
    t2_ns: i64,
    t3_ns: i64,
    t4_ns: i64,
    quantum_ns: i64,
}

/// Why four instants are not an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// An instant more than 146 years from the Unix epoch: no clock says that.
    #[error("an instant is too far from the present")]
    OutOfRange,
    /// The quantum is negative or longer than a second.
    #[error("a timer cannot have that quantum")]
    Quantum,
    /// Received before sent, by the client's clock.
    #[error("the response came before the request was sent")]
    ClientOrder,
    /// Sent before received, by the server's clock.
    #[error("the server answered before it was asked")]
    ServerOrder,
    /// The server says that it took longer than the client waited, by more than two quanta and what clocks drift
    /// apart in that time ([`DEFAULT_DRIFT_PPM`]).
    #[error("the server took longer than the client waited")]
    ServerLonger,
}

/// Differences of two such instants, and of two such differences of the same sign, fit 64 bits.
const MAX_INSTANT_NS: i64 = (1 << 62) - 1;
const MAX_QUANTUM_NS: i64 = 1_000_000_000;

impl Exchange {
    /// An exchange by a client whose timer is off by at most `quantum_ns` either way.
    ///
    /// # Errors
    /// See [`ExchangeError`].
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
        // A server next receiver that works for a second would otherwise be refused for a clock that is 50 µs fast.
        let drift_ns = drift_ns(server_ns.unsigned_abs(), DEFAULT_DRIFT_PPM);
        if server_ns - client_ns > plus(drift_ns, 2 * quantum_ns) {
            return Err(ExchangeError::ServerLonger);
        }
        Ok(Self { t1_ns, t2_ns, t3_ns, t4_ns, quantum_ns })
    }

    /// When the client sent, by its clock.
    #[must_use]
    pub const fn t1_ns(&self) -> i64 {
        self.t1_ns
    }

    /// When the server received, by its clock.
    #[must_use]
    pub const fn t2_ns(&self) -> i64 {
        self.t2_ns
    }

    /// When the server sent, by its clock.
    #[must_use]
    pub const fn t3_ns(&self) -> i64 {
        self.t3_ns
    }

    /// When the client received, by its clock.
    #[must_use]
    pub const fn t4_ns(&self) -> i64 {
        self.t4_ns
    }

    /// How far off the client's timer may be, either way.
    #[must_use]
    pub const fn quantum_ns(&self) -> i64 {
        self.quantum_ns
    }

    /// Network up and down together: `(t4 - t1) - (t3 - t2)`, which needs no agreement between the clocks and is
    /// right to two quanta. Zero where the timer makes it negative.
    #[must_use]
    pub const fn network_total_ns(&self) -> i64 {
        let total_ns = self.client_ns() - self.server_ns();
        if total_ns < 0 { 0 } else { total_ns }
    }

    /// From request received to response sent, by the server's clock.
    #[must_use]
    pub const fn server_ns(&self) -> i64 {
        self.t3_ns - self.t2_ns
    }

    /// From request sent to response received, by the client's clock.
    #[must_use]
    pub const fn client_ns(&self) -> i64 {
        self.t4_ns - self.t1_ns
    }

    /// What this exchange alone says of the server's clock minus the client's: neither way took less than no
    /// time, so `[t3 - t4, t2 - t1]`, and a quantum more on each side for what the timer hides.
    #[must_use]
    pub fn offset(&self) -> Interval {
        // Where drift turns them round, the interval between still holds what lies between the two instants.
        Interval::between(
            minus(self.t3_ns - self.t4_ns, self.quantum_ns),
            plus(self.t2_ns - self.t1_ns, self.quantum_ns),
        )
    }
}
