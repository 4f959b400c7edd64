//! What a list shows of a trace.

use throughline_context::TraceId;

/// The network's share of a trace: sums over its measured requests, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Bands {
    /// Uplink and downlink together; measured.
    pub network_ms: f64,
    /// The uplink's share; an estimate.
    pub uplink_ms: f64,
    /// The downlink's share; an estimate.
    pub downlink_ms: f64,
    /// By how much the estimates may be wrong.
    pub error_ms: f64,
    /// The server's share of the same requests.
    pub server_ms: f64,
}

/// One trace as a list shows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Which trace.
    pub trace_id: TraceId,
    /// The name of the root, or of the earliest span if there is no root yet.
    pub root_name: String,
    /// The service of that span.
    pub root_service: String,
    /// Whether a span without parent has arrived. Of several, the earliest counts.
    pub has_root: bool,
    /// When the earliest span began, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// How long the root lasted, in nanoseconds; without a root, from the earliest start to the latest end.
    pub duration_ns: u64,
    /// How many spans there are.
    pub span_count: u64,
    /// How many of them failed.
    pub error_count: u64,
    /// Their services, in the order in which each one's first span began. At most 64.
    pub services: Vec<String>,
    /// Who did it: `user.id`, or else `app.user_id`, of the earliest span that has one.
    pub user: Option<String>,
    /// The network's part, if any request was measured.
    pub bands: Option<Bands>,
}
