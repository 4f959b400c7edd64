//! From protobuf messages to the model.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    common::v1 as common,
    resource::v1::Resource as ResourceMessage,
    trace::v1::{self as trace, span},
};
use prost::{Message, bytes::Bytes};
use throughline_context::{IdError, SpanId, TraceId};

use crate::{
    DecodeError, Event, KeyValue, Link, Rejection, Resource, Scope, Span, SpanKind, Status, StatusCode, Value,
    assemble::{self, Ids},
    traces::Decoded,
};

// The three messages around a span, with what they hold left as bytes: the same on the wire. Spans are so read
// one at a time, and a body full of empty spans does not become many times its size in memory.

#[derive(Clone, PartialEq, Message)]
struct LazyRequest {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    resource_spans: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct LazyResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    scope_spans: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct LazyScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<common::InstrumentationScope>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    spans: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

pub(crate) fn decode_traces(body: &[u8]) -> Result<Decoded, DecodeError> {
    let mut decoded = Decoded::default();
    let request = LazyRequest::decode(Bytes::copy_from_slice(body))?;
    for resource_spans in request.resource_spans {
        let resource_spans = LazyResourceSpans::decode(resource_spans)?;
        let resource = Arc::new(resource(resource_spans.resource.unwrap_or_default(), resource_spans.schema_url));
        let resource_ok = assemble::check_shared_depth(&resource.attributes);
        for scope_spans in resource_spans.scope_spans {
            let scope_spans = LazyScopeSpans::decode(scope_spans)?;
            let scope = Arc::new(scope(scope_spans.scope.unwrap_or_default(), scope_spans.schema_url));
            let shared_ok = resource_ok.clone().and_then(|()| assemble::check_shared_depth(&scope.attributes));
            for message in scope_spans.spans {
                let message = trace::Span::decode(message)?;
                let span = shared_ok
                    .clone()
                    .map_err(|reason| Rejection::new(&message.name, reason))
                    .and_then(|()| span_of(message, &resource, &scope));
                decoded.push(span)?;
            }
        }
    }
    Ok(decoded)
}

pub(crate) fn decode_span(body: &[u8], resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<Span, DecodeError> {
    let message = trace::Span::decode(body)?;
    span_of(message, resource, scope).map_err(|rejection| DecodeError::Span(rejection.reason))
}

pub(crate) fn decode_resource_scope(body: &[u8]) -> Result<(Arc<Resource>, Arc<Scope>), DecodeError> {
    let mut message = trace::ResourceSpans::decode(body)?;
    let scope_spans = message.scope_spans.pop().ok_or(DecodeError::NoResource)?;
    Ok((
        Arc::new(resource(message.resource.unwrap_or_default(), message.schema_url)),
        Arc::new(scope(scope_spans.scope.unwrap_or_default(), scope_spans.schema_url)),
    ))
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error)
    }
}

fn resource(message: ResourceMessage, schema_url: String) -> Resource {
    Resource {
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        schema_url,
    }
}

fn scope(message: common::InstrumentationScope, schema_url: String) -> Scope {
    Scope {
        name: message.name,
        version: message.version,
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        schema_url,
    }
}

fn span_of(message: trace::Span, resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<Span, Rejection> {
    let ids = Ids {
        trace_id: TraceId::from_slice(&message.trace_id),
        span_id: SpanId::from_slice(&message.span_id),
        parent_span_id: parent(&message.parent_span_id),
    };
    let (trace_id, span_id, parent_span_id) = ids.checked().map_err(|reason| Rejection::new(&message.name, reason))?;
    let status = message.status.unwrap_or_default();
    let (links, dropped_links_count) =
        assemble::links(message.links.into_iter().map(link), message.dropped_links_count);
    let span = Span {
        trace_id,
        span_id,
        parent_span_id,
        trace_state: message.trace_state,
        flags: message.flags,
        name: message.name,
        kind: SpanKind::from_number(message.kind),
        start_ns: message.start_time_unix_nano,
        end_ns: message.end_time_unix_nano,
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        events: message.events.into_iter().map(event).collect(),
        dropped_events_count: message.dropped_events_count,
        links,
        dropped_links_count,
        status: Status { code: StatusCode::from_number(status.code), message: status.message },
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
    };
    match assemble::check_depth(&span) {
        Ok(()) => Ok(span),
        Err(reason) => Err(Rejection::new(&span.name, reason)),
    }
}

/// A root has no parent; some senders write it as eight zeros.
fn parent(bytes: &[u8]) -> Result<Option<SpanId>, IdError> {
    if bytes.is_empty() || bytes == [0; 8] { Ok(None) } else { SpanId::from_slice(bytes).map(Some) }
}

fn event(message: span::Event) -> Event {
    Event {
        time_ns: message.time_unix_nano,
        name: message.name,
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
    }
}

fn link(message: span::Link) -> Result<Link, IdError> {
    Ok(Link {
        trace_id: TraceId::from_slice(&message.trace_id)?,
        span_id: SpanId::from_slice(&message.span_id)?,
        trace_state: message.trace_state,
        flags: message.flags,
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
    })
}

fn attributes(messages: Vec<common::KeyValue>) -> Vec<KeyValue> {
    messages
        .into_iter()
        .map(|message| KeyValue { key: message.key, value: message.value.map(value).unwrap_or_default() })
        .collect()
}

// Recursion is bounded: prost reads no deeper than 100 messages.
fn value(message: common::AnyValue) -> Value {
    use common::any_value::Value as Any;
    match message.value {
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(truth)) => Value::Bool(truth),
        Some(Any::IntValue(number)) => Value::Int(number),
        Some(Any::DoubleValue(number)) => Value::Double(number),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(Any::ArrayValue(array)) => Value::Array(array.values.into_iter().map(value).collect()),
        Some(Any::KvlistValue(list)) => Value::Map(attributes(list.values)),
        // References into a string table exist in profiles only.
        None | Some(Any::StringValueStrindex(_)) => Value::Empty,
    }
}
