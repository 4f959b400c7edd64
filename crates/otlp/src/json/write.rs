//! From the model to JSON.

use serde::Serialize;
use throughline_context::{SpanId, TraceId};

use super::value::{KeyValueOut, attributes_out};
use crate::{
    Event, Link, Resource, Scope, Span, Status,
    group::{self, ResourceGroup, ScopeGroup},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TracesDataOut<'a> {
    resource_spans: Vec<ResourceSpansOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpansOut<'a> {
    resource: ResourceOut<'a>,
    scope_spans: Vec<ScopeSpansOut<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    schema_url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceOut<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeSpansOut<'a> {
    scope: ScopeOut<'a>,
    spans: Vec<SpanOut<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    schema_url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeOut<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanOut<'a> {
    #[serde(serialize_with = "display")]
    trace_id: TraceId,
    #[serde(serialize_with = "display")]
    span_id: SpanId,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
    name: &'a str,
    kind: i32,
    #[serde(serialize_with = "display")]
    start_time_unix_nano: u64,
    #[serde(serialize_with = "display")]
    end_time_unix_nano: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_events_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_links_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventOut<'a> {
    #[serde(serialize_with = "display")]
    time_unix_nano: u64,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkOut<'a> {
    #[serde(serialize_with = "display")]
    trace_id: TraceId,
    #[serde(serialize_with = "display")]
    span_id: SpanId,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

#[derive(Serialize)]
struct StatusOut<'a> {
    code: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

pub(crate) fn encode_traces(spans: &[Span]) -> Vec<u8> {
    let resource_spans = group::by_resource_and_scope(spans).into_iter().map(resource_spans).collect();
    to_vec(&TracesDataOut { resource_spans })
}

/// Writes what cannot fail to be written: strings, numbers, lists and objects with string keys.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

// serde wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn display<T: std::fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn resource_spans(group: ResourceGroup<'_>) -> ResourceSpansOut<'_> {
    ResourceSpansOut {
        resource: resource(group.resource),
        scope_spans: group.scopes.into_iter().map(scope_spans).collect(),
        schema_url: &group.resource.schema_url,
    }
}

fn scope_spans(group: ScopeGroup<'_>) -> ScopeSpansOut<'_> {
    ScopeSpansOut {
        scope: scope(group.scope),
        spans: group.spans.into_iter().map(span).collect(),
        schema_url: &group.scope.schema_url,
    }
}

fn resource(resource: &Resource) -> ResourceOut<'_> {
    ResourceOut {
        attributes: attributes_out(&resource.attributes),
        dropped_attributes_count: resource.dropped_attributes_count,
    }
}

fn scope(scope: &Scope) -> ScopeOut<'_> {
    ScopeOut {
        name: &scope.name,
        version: &scope.version,
        attributes: attributes_out(&scope.attributes),
        dropped_attributes_count: scope.dropped_attributes_count,
    }
}

fn span(span: &Span) -> SpanOut<'_> {
    SpanOut {
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id.map(|id| id.to_string()),
        trace_state: &span.trace_state,
        flags: span.flags,
        name: &span.name,
        kind: span.kind.number(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: attributes_out(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: (span.status != Status::default())
            .then(|| StatusOut { code: span.status.code.number(), message: &span.status.message }),
    }
}

fn event(event: &Event) -> EventOut<'_> {
    EventOut {
        time_unix_nano: event.time_ns,
        name: &event.name,
        attributes: attributes_out(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: &Link) -> LinkOut<'_> {
    LinkOut {
        trace_id: link.trace_id,
        span_id: link.span_id,
        trace_state: &link.trace_state,
        flags: link.flags,
        attributes: attributes_out(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
    }
}
