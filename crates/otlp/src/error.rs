//! Why a whole body cannot be read.

use crate::{Reason, Signal, body::MAX_RECORDS};

/// The body is not what its content type says, or asks for too much. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not the protobuf message that it should be.
    #[error("the body is not OTLP in protobuf: {0}")]
    Protobuf(#[source] prost::DecodeError),
    /// It is not the JSON that it should be. The message tells line and column.
    #[error("the body is not OTLP in JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// It holds more than [`MAX_RECORDS`] spans or log records, good and bad together.
    #[error("the body holds more than {MAX_RECORDS} {record}s", record = .0.record())]
    TooMany(Signal),
    /// A single record that was to be read breaks a rule (only of `decode_record`).
    #[error("the record is not valid: {0}")]
    Record(#[source] Reason),
    /// A resource is missing where one must be (only of `decode_resource_scope`).
    #[error("no resource and scope where they should be")]
    NoResource,
}
