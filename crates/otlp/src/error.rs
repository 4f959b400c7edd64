//! The error for a body that cannot be decoded.

use crate::{Reason, Signal, body::MAX_RECORDS};

/// Why a body or a single record cannot be decoded. No record of a failed body is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not the expected protobuf message.
    #[error("the body is not OTLP in protobuf: {0}")]
    Protobuf(#[source] prost::DecodeError),
    /// The body is not the expected JSON. The message has line and column.
    #[error("the body is not OTLP in JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// The body holds more than [`MAX_RECORDS`] records, valid and invalid ones together.
    #[error("the body holds more than {MAX_RECORDS} {record}s", record = .0.record())]
    TooMany(Signal),
    /// The single record is invalid (returned by `decode_record` only).
    #[error("the record is invalid: {0}")]
    Record(#[source] Reason),
    /// The message has no scope (returned by `decode_resource_scope` only).
    #[error("the message has no scope")]
    NoResource,
}
