//! Between the model and the protobuf messages of `opentelemetry-proto`.

mod body;
mod log_record;
mod read;
mod span;
mod write;

pub(crate) use body::{decode, decode_resource_scope, encode, encode_resource_scope, resource_bytes, scope_bytes};

use crate::{DecodeError, Rejection, record::Shared};

/// One record as a message.
pub trait Protobuf: Sized {
    /// Reads a message. The inner error is a rule that the record breaks, or what it shares with others does.
    fn from_protobuf(message: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError>;

    /// Writes the message.
    fn to_protobuf(&self) -> Vec<u8>;
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error)
    }
}
