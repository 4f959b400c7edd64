//! The JSON encoding of OTLP/HTTP: decoding is lenient, encoding is strict.
//!
//! The serde support of `opentelemetry-proto` is not used: it fails the whole body for one id that is not hexadecimal,
//! for an enumeration by name, for `null` and for an array without `values`, and it cannot encode NaN. Tests compare
//! both implementations.

mod body;
mod data_point;
mod log_record;
mod number;
mod read;
mod span;
mod value;
mod write;

pub(crate) use body::{decode, encode};
pub(crate) use write::to_vec;

use serde::Serialize;

use crate::{DecodeError, Decoded, Record, Rejection, record::Shared};

/// A record that is encoded as a JSON object.
pub trait Json: Sized {
    /// The serializable form of the record.
    type Out<'a>: Serialize
    where
        Self: 'a;

    /// Decodes an object. The inner error is returned if the record, its resource or its scope is invalid.
    fn from_json(object: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError>;

    /// Decodes an object that may hold several records, such as a metric with its data points.
    fn all_from_json(object: &[u8], shared: &Shared, decoded: &mut Decoded<Self>) -> Result<(), DecodeError>
    where
        Self: Record,
    {
        decoded.push(Self::from_json(object, shared)?)
    }

    /// Returns the serializable form.
    fn to_json(&self) -> Self::Out<'_>;
}
