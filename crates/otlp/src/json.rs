//! The JSON encoding of OTLP/HTTP, read generously and written strictly.
//!
//! It is not left to `opentelemetry-proto`, whose serde support fails the whole body for one id that is not
//! hexadecimal, for an enumeration by name, for `null`, for an array without `values`, and cannot carry NaN.
//! Tests hold the two against each other.

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

/// One record as an object.
pub trait Json: Sized {
    /// What is written of it.
    type Out<'a>: Serialize
    where
        Self: 'a;

    /// Reads an object. The inner error is a rule that the record breaks, or what it shares with others does.
    fn from_json(object: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError>;

    /// Reads an object that may hold several records, as a metric holds data points.
    fn all_from_json(object: &[u8], shared: &Shared, decoded: &mut Decoded<Self>) -> Result<(), DecodeError>
    where
        Self: Record,
    {
        decoded.push(Self::from_json(object, shared)?)
    }

    /// What to write.
    fn to_json(&self) -> Self::Out<'_>;
}
