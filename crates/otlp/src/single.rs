//! One span, or one resource and scope, by itself: for stores.

use std::sync::Arc;

use crate::{DecodeError, Resource, Scope, Span, protobuf};

/// Writes one span as a protobuf `Span` message, without its resource and scope.
#[must_use]
pub fn encode_span(span: &Span) -> Vec<u8> {
    protobuf::encode_span(span)
}

/// Reads what [`encode_span`] wrote.
///
/// # Errors
/// The bytes are no `Span` message, or the span breaks a rule ([`DecodeError::Span`]).
pub fn decode_span(body: &[u8], resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<Span, DecodeError> {
    protobuf::decode_span(body, resource, scope)
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
