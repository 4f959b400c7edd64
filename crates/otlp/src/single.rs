//! One record, or one resource and scope, by itself: for stores.

use std::sync::Arc;

use crate::{DecodeError, Record, Resource, Scope, protobuf, record::Shared};

/// Writes one record as a protobuf `Span` or `LogRecord` message, without its resource and scope.
#[must_use]
pub fn encode_record<R: Record>(record: &R) -> Vec<u8> {
    record.to_protobuf()
}

/// Reads what [`encode_record`] wrote.
///
/// # Errors
/// The bytes are no such message, or the record breaks a rule ([`DecodeError::Record`]).
pub fn decode_record<R: Record>(body: &[u8], resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<R, DecodeError> {
    let shared = Shared { resource: Arc::clone(resource), scope: Arc::clone(scope), broken: None };
    R::from_protobuf(body, &shared)?.map_err(|rejection| DecodeError::Record(rejection.reason))
}

/// Writes a resource and a scope as a protobuf `ResourceSpans` message with one `ScopeSpans` that has no spans.
/// Equal ones give equal bytes.
#[must_use]
pub fn encode_resource_scope(resource: &Resource, scope: &Scope) -> Vec<u8> {
    protobuf::encode_resource_scope(resource, scope)
}

/// Reads what [`encode_resource_scope`] wrote.
///
/// # Errors
/// The bytes are no `ResourceSpans` message, or it has no `ScopeSpans`.
pub fn decode_resource_scope(body: &[u8]) -> Result<(Arc<Resource>, Arc<Scope>), DecodeError> {
    protobuf::decode_resource_scope(body)
}
