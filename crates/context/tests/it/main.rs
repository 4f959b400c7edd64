//! The rules of W3C Trace Context and W3C Baggage, each with an example, and the laws.

mod baggage;
mod id;
#[cfg(feature = "serde")]
mod serde;
mod traceparent;
mod tracestate;
