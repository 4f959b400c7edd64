//! Encoding of single records, and of a resource with a scope, for stores.

use std::sync::Arc;

use crate::{DecodeError, Record, Resource, Scope, protobuf, record::Shared};

/// Encodes a record as a protobuf message (`Span`, `LogRecord`, or `Metric` with one point), without its resource and
/// scope.
#[must_use]
pub fn encode_record<R: Record>(record: &R) -> Vec<u8> {
    record.to_protobuf()
}

/// Decodes a record that [`encode_record`] encoded.
///
/// # Errors
/// Returns an error if the bytes are not such a message, or if the record is invalid ([`DecodeError::Record`]).
pub fn decode_record<R: Record>(body: &[u8], resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<R, DecodeError> {
    let shared = Shared { resource: Arc::clone(resource), scope: Arc::clone(scope), broken: None };
    R::from_protobuf(body, &shared)?.map_err(|rejection| DecodeError::Record(rejection.reason))
}

/// Encodes a resource and a scope as a protobuf `ResourceSpans` message with one `ScopeSpans` that has no spans. Equal
/// resources and scopes have equal bytes.
#[must_use]
pub fn encode_resource_scope(resource: &Resource, scope: &Scope) -> Vec<u8> {
    protobuf::encode_resource_scope(resource, scope)
}

/// Decodes a resource and a scope that [`encode_resource_scope`] encoded.
///
/// # Errors
/// Returns an error if the bytes are not a `ResourceSpans` message, or if it has no `ScopeSpans`.
pub fn decode_resource_scope(body: &[u8]) -> Result<(Arc<Resource>, Arc<Scope>), DecodeError> {
    protobuf::decode_resource_scope(body)
}
