//! The protobuf encoding: conversion between the model and the messages of `opentelemetry-proto`.

mod body;
mod data_point;
mod log_record;
mod read;
mod span;
mod write;

pub(crate) use body::{decode, decode_resource_scope, encode, encode_resource_scope, resource_bytes, scope_bytes};

use crate::{DecodeError, Decoded, Record, Rejection, record::Shared};

/// A record that is encoded as a protobuf message.
pub trait Protobuf: Sized {
    /// Decodes a message. The inner error is returned if the record, its resource or its scope is invalid.
    fn from_protobuf(message: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError>;

    /// Decodes a message that may hold several records, such as a metric with its data points.
    fn all_from_protobuf(message: &[u8], shared: &Shared, decoded: &mut Decoded<Self>) -> Result<(), DecodeError>
    where
        Self: Record,
    {
        decoded.push(Self::from_protobuf(message, shared)?)
    }

    /// Encodes the record as a message.
    fn to_protobuf(&self) -> Vec<u8>;
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error)
    }
}
