//! The JSON encoding of OTLP/HTTP, read generously and written strictly.
//!
//! It is not left to `opentelemetry-proto`, whose serde support fails the whole body for one id that is not
//! hexadecimal, for an enumeration by name, for `null`, for an array without `values`, and cannot carry NaN.
//! Tests hold the two against each other.

mod number;
mod read;
mod value;
mod write;

pub(crate) use read::decode_traces;
pub(crate) use write::{encode_traces, to_vec};
