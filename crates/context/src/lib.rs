#![doc = include_str!("../README.md")]

mod baggage;
mod flags;
mod hex;
mod id;
pub mod ingest_token;
pub mod keys;
mod redact;
#[cfg(feature = "serde")]
mod serde;
mod traceparent;
mod tracestate;

pub use baggage::{Baggage, BaggageError, Entry, Property};
pub use flags::TraceFlags;
pub use id::{IdError, SpanId, TraceId};
pub use redact::{UrlParts, redact_query, redact_url};
pub use traceparent::{TraceParent, TraceParentError};
pub use tracestate::{TraceState, TraceStateError};

/// Trims the optional whitespace around a field value or a list member: `OWS` of RFC 9110 §5.6.3.
fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
