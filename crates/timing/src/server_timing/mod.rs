//! The `Server-Timing` header: W3C Server Timing §3, and what of ours travels in it.

mod metric;
mod server_times;

pub use metric::{Metric, parse};
pub use server_times::{METRIC, ServerTimes, encode_instance, encode_times};

/// Metrics whose description is a `traceparent`: the one in use, and the one that the W3C's draft of response
/// headers names.
pub const TRACE_METRICS: [&str; 2] = ["traceparent", "trace"];
