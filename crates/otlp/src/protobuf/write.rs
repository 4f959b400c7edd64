//! From the model to protobuf messages.

use opentelemetry_proto::tonic::{
    common::v1 as common,
    resource::v1::Resource as ResourceMessage,
    trace::v1::{self as trace, span},
};
use prost::Message;

use crate::{Event, KeyValue, Link, Resource, Scope, Span, Status, Value, group};

pub(crate) fn encode_traces(spans: &[Span]) -> Vec<u8> {
    let resource_spans = group::by_resource_and_scope(spans)
        .into_iter()
        .map(|group| trace::ResourceSpans {
            resource: Some(resource(group.resource)),
            scope_spans: group
                .scopes
                .into_iter()
                .map(|group| trace::ScopeSpans {
                    scope: Some(scope(group.scope)),
                    spans: group.spans.into_iter().map(span_message).collect(),
                    schema_url: group.scope.schema_url.clone(),
                })
                .collect(),
            schema_url: group.resource.schema_url.clone(),
        })
        .collect();
    trace::TracesData { resource_spans }.encode_to_vec()
}

pub(crate) fn encode_span(span: &Span) -> Vec<u8> {
    span_message(span).encode_to_vec()
}

pub(crate) fn encode_resource_scope(resource_of: &Resource, scope_of: &Scope) -> Vec<u8> {
    trace::ResourceSpans {
        resource: Some(resource(resource_of)),
        scope_spans: vec![trace::ScopeSpans {
            scope: Some(scope(scope_of)),
            spans: Vec::new(),
            schema_url: scope_of.schema_url.clone(),
        }],
        schema_url: resource_of.schema_url.clone(),
    }
    .encode_to_vec()
}

/// Bytes that are equal for equal resources.
pub(crate) fn resource_bytes(resource_of: &Resource) -> Vec<u8> {
    trace::ResourceSpans {
        resource: Some(resource(resource_of)),
        scope_spans: Vec::new(),
        schema_url: resource_of.schema_url.clone(),
    }
    .encode_to_vec()
}

/// Bytes that are equal for equal scopes.
pub(crate) fn scope_bytes(scope_of: &Scope) -> Vec<u8> {
    trace::ScopeSpans { scope: Some(scope(scope_of)), spans: Vec::new(), schema_url: scope_of.schema_url.clone() }
        .encode_to_vec()
}

fn resource(resource: &Resource) -> ResourceMessage {
    ResourceMessage {
        attributes: attributes(&resource.attributes),
        dropped_attributes_count: resource.dropped_attributes_count,
        entity_refs: Vec::new(),
    }
}

fn scope(scope: &Scope) -> common::InstrumentationScope {
    common::InstrumentationScope {
        name: scope.name.clone(),
        version: scope.version.clone(),
        attributes: attributes(&scope.attributes),
        dropped_attributes_count: scope.dropped_attributes_count,
    }
}

fn span_message(span: &Span) -> trace::Span {
    trace::Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: span.parent_span_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind.number(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: attributes(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: status(&span.status),
    }
}

fn status(status: &Status) -> Option<trace::Status> {
    (*status != Status::default())
        .then(|| trace::Status { message: status.message.clone(), code: status.code.number() })
}

fn event(event: &Event) -> span::Event {
    span::Event {
        time_unix_nano: event.time_ns,
        name: event.name.clone(),
        attributes: attributes(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: &Link) -> span::Link {
    span::Link {
        trace_id: link.trace_id.to_bytes().to_vec(),
        span_id: link.span_id.to_bytes().to_vec(),
        trace_state: link.trace_state.clone(),
        attributes: attributes(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    }
}

fn attributes(attributes: &[KeyValue]) -> Vec<common::KeyValue> {
    attributes
        .iter()
        .map(|attribute| common::KeyValue {
            key: attribute.key.clone(),
            value: Some(value(&attribute.value)),
            key_strindex: 0,
        })
        .collect()
}

fn value(value_of: &Value) -> common::AnyValue {
    use common::any_value::Value as Any;
    let value = match value_of {
        Value::Empty => None,
        Value::String(text) => Some(Any::StringValue(text.clone())),
        Value::Bool(truth) => Some(Any::BoolValue(*truth)),
        Value::Int(number) => Some(Any::IntValue(*number)),
        Value::Double(number) => Some(Any::DoubleValue(*number)),
        Value::Bytes(bytes) => Some(Any::BytesValue(bytes.clone())),
        Value::Array(values) => {
            Some(Any::ArrayValue(common::ArrayValue { values: values.iter().map(value).collect() }))
        }
        Value::Map(entries) => Some(Any::KvlistValue(common::KeyValueList { values: attributes(entries) })),
    };
    common::AnyValue { value }
}
