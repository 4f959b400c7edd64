//! Tests of the rules of W3C Trace Context and W3C Baggage, with examples and properties.

mod baggage;
mod id;
#[cfg(feature = "serde")]
mod serde;
mod traceparent;
mod tracestate;
