//! Between the model and the protobuf messages of `opentelemetry-proto`.

mod body;
mod data_point;
mod log_record;
mod read;
mod span;
mod write;

pub(crate) use body::{decode, decode_resource_scope, encode, encode_resource_scope, resource_bytes, scope_bytes};

use crate::{DecodeError, Decoded, Record, Rejection, record::Shared};

/// One record as a message.
pub trait Protobuf: Sized {
    /// Reads a message. The inner error is a rule that the record breaks, or what it shares with others does.
    fn from_protobuf(message: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError>;

    /// Reads a message that may hold several records, as a metric holds data points.
    fn all_from_protobuf(message: &[u8], shared: &Shared, decoded: &mut Decoded<Self>) -> Result<(), DecodeError>
    where
        Self: Record,
    {
        decoded.push(Self::from_protobuf(message, shared)?)
    }

    /// Writes the message.
    fn to_protobuf(&self) -> Vec<u8>;
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error)
    }
}
