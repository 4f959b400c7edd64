//! The list entry of a trace.

use throughline_context::TraceId;

/// The network time of a trace: sums over its measured requests, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Bands {
    /// Uplink and downlink together. This is a measurement.
    pub network_ms: f64,
    /// The uplink. This is an estimate.
    pub uplink_ms: f64,
    /// The downlink. This is an estimate.
    pub downlink_ms: f64,
    /// The maximum error of the estimates.
    pub error_ms: f64,
    /// The time of the server for the same requests.
    pub server_ms: f64,
}

/// One trace in a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The name of the root span, or of the earliest span if there is no root yet.
    pub root_name: String,
    /// The service of that span.
    pub root_service: String,
    /// Whether a span without a parent has arrived. If there are several, the earliest is the root.
    pub has_root: bool,
    /// The start of the earliest span, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// The duration of the root, in nanoseconds; without a root, the time from the earliest start to the latest end.
    pub duration_ns: u64,
    /// The number of spans.
    pub span_count: u64,
    /// The number of failed spans.
    pub error_count: u64,
    /// The services of the spans, ordered by the start of each service's first span. At most 64.
    pub services: Vec<String>,
    /// The user: `user.id`, or else `app.user_id`, of the earliest span that has one.
    pub user: Option<String>,
    /// The network time, if any request was measured.
    pub bands: Option<Bands>,
}
