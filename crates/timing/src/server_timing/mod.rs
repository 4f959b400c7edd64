//! The `Server-Timing` header (W3C Server Timing §3), and Throughline's metric in it.

mod metric;
mod server_times;

pub use metric::{Metric, parse};
pub use server_times::{METRIC, ServerTimes, encode_instance, encode_times};

/// Metrics whose description is a `traceparent`: the name in common use, and the one in the W3C's draft of response
/// headers.
pub const TRACE_METRICS: [&str; 2] = ["traceparent", "trace"];
