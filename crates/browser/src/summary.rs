//! What the application hears of its requests and of the telemetry itself.

use std::fmt;

use throughline_timing::Phase;

/// The network figures of one request, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Up and down together; measured.
    pub total_ms: f64,
    /// Up; an estimate, ± `error_ms`.
    pub uplink_ms: f64,
    /// Down; an estimate, ± `error_ms`.
    pub downlink_ms: f64,
    /// Half the width of the interval in which the true uplink lies.
    pub error_ms: f64,
    /// How the split came about: `measured`, `bounded`, `assumed_symmetric`.
    pub method: &'static str,
    /// From request received to response head sent, by the server's clock.
    pub server_ms: f64,
}

/// A finished request of this page, with its timing.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestSummary {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// The HTTP method.
    pub method: String,
    /// The path of the URL, without the query.
    pub path: String,
    /// The status code, if a response came.
    pub status: Option<u16>,
    /// `error.type`, if there was an error.
    pub error: Option<String>,
    /// Start, Unix milliseconds.
    pub start_ms: f64,
    /// From the call to the body's delivery, milliseconds.
    pub total_ms: f64,
    /// The phases in order, milliseconds; they sum to `total_ms`.
    pub segments: Vec<(Phase, f64)>,
    /// How good the timing is: `fine`, `unsynced`, `coarse`.
    pub quality: &'static str,
    /// The network figures, where the server sent its times.
    pub network: Option<Network>,
}

/// Whether telemetry gets through. Its [`Display`](fmt::Display) says why not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing has been sent yet.
    #[default]
    Starting,
    /// The last batch was accepted.
    Ok,
    /// It is not on, and why.
    Off(&'static str),
    /// The receiver answered with this status code, and will not take it. What it refused is dropped and counted.
    Refused(u16),
    /// The receiver cannot be reached, or answered with this status code for now. Records wait, within the queue's bound.
    Unreachable(Option<u16>),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("nothing has been sent yet"),
            Self::Ok => f.write_str("the last batch was accepted"),
            Self::Off(why) => f.write_str(why),
            Self::Refused(status) | Self::Unreachable(Some(status)) => {
                write!(f, "the telemetry endpoint answered {status}")
            }
            Self::Unreachable(None) => f.write_str("the telemetry endpoint cannot be reached"),
        }
    }
}
