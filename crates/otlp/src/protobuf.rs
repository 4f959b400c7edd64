//! Between the model and the protobuf messages of `opentelemetry-proto`.

mod read;
mod write;

pub(crate) use read::{decode_resource_scope, decode_span, decode_traces};
pub(crate) use write::{encode_resource_scope, encode_span, encode_traces, resource_bytes, scope_bytes};
