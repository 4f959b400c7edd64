//! Types passed to the listeners of the application: summaries of requests, and the status of the telemetry.

use std::fmt;

use throughline_timing::Phase;

/// The network figures of one request, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Uplink and downlink together. This is a measurement.
    pub total_ms: f64,
    /// Time from the page to the server. This is an estimate with an error of ± `error_ms`.
    pub uplink_ms: f64,
    /// Time from the server to the page. This is an estimate with an error of ± `error_ms`.
    pub downlink_ms: f64,
    /// Half the width of the interval in which the true uplink lies.
    pub error_ms: f64,
    /// How the split was determined: `measured` (an error of at most 1 ms), `bounded` (narrowed by other requests to the
    /// same server) or `assumed_symmetric` (from this request alone).
    pub method: &'static str,
    /// Time from the receipt of the request to the sending of the response head, by the server's clock.
    pub server_ms: f64,
}

/// A finished request of this page, with its timing.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestSummary {
    /// The trace id, 32 hexadecimal digits.
    pub trace_id: String,
    /// The span id, 16 hexadecimal digits.
    pub span_id: String,
    /// The HTTP method.
    pub method: String,
    /// The path of the URL, without the query.
    pub path: String,
    /// The status code, if there was a response.
    pub status: Option<u16>,
    /// The value of `error.type`, if the request failed.
    pub error: Option<String>,
    /// The start, Unix milliseconds.
    pub start_ms: f64,
    /// The time from the call to the delivery of the body, milliseconds.
    pub total_ms: f64,
    /// The phases in order, milliseconds; they sum to `total_ms`.
    pub segments: Vec<(Phase, f64)>,
    /// The quality of the timing: `fine`, `unsynced` (the server sent no times) or `coarse` (the browser reports no
    /// phases).
    pub quality: &'static str,
    /// The network figures, if the server sent its times.
    pub network: Option<Network>,
}

/// The status of the delivery of telemetry. If it fails, the [`Display`](fmt::Display) output has the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing has been sent yet.
    #[default]
    Starting,
    /// The last batch was accepted.
    Ok,
    /// The tracer is off, for this reason.
    Off(&'static str),
    /// The receiver rejected the last batch with this status code. Its records are dropped and counted.
    Rejected(u16),
    /// The receiver cannot be reached, or responded with this status code, which is temporary. Records wait and are
    /// sent again, up to the limits of the queue.
    Unreachable(Option<u16>),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("nothing has been sent yet"),
            Self::Ok => f.write_str("the last batch was accepted"),
            Self::Off(why) => f.write_str(why),
            Self::Rejected(status) | Self::Unreachable(Some(status)) => {
                write!(f, "the telemetry endpoint returned {status}")
            }
            Self::Unreachable(None) => f.write_str("the telemetry endpoint cannot be reached"),
        }
    }
}
