//! Spans in JSON.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{span, status};
use serde::{Deserialize, Serialize};
use throughline_context::{IdError, SpanId, TraceId};

use super::{
    Json,
    number::{Enumeration, Named, Whole, nullable},
    read::parse,
    value::{KeyValueIn, KeyValueOut, attributes, attributes_out},
    write::{display, is_zero},
};
use crate::{
    DecodeError, Event, Link, Rejection, Signal, Span, SpanKind, Status, StatusCode,
    assemble::{self, Ids},
    record::Shared,
};

impl Json for Span {
    type Out<'a> = SpanOut<'a>;

    fn from_json(object: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError> {
        Ok(span_of(parse(object)?, shared))
    }

    fn to_json(&self) -> Self::Out<'_> {
        span_out(self)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpanIn {
    #[serde(deserialize_with = "nullable")]
    trace_id: String,
    #[serde(deserialize_with = "nullable")]
    span_id: String,
    #[serde(deserialize_with = "nullable")]
    parent_span_id: String,
    #[serde(deserialize_with = "nullable")]
    trace_state: String,
    #[serde(deserialize_with = "nullable")]
    flags: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    kind: Enumeration<KindNames>,
    #[serde(deserialize_with = "nullable")]
    start_time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    end_time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    events: Vec<EventIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_events_count: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    links: Vec<LinkIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_links_count: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    status: StatusIn,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EventIn {
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LinkIn {
    #[serde(deserialize_with = "nullable")]
    trace_id: String,
    #[serde(deserialize_with = "nullable")]
    span_id: String,
    #[serde(deserialize_with = "nullable")]
    trace_state: String,
    #[serde(deserialize_with = "nullable")]
    flags: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusIn {
    #[serde(deserialize_with = "nullable")]
    code: Enumeration<StatusNames>,
    #[serde(deserialize_with = "nullable")]
    message: String,
}

#[derive(Default)]
struct KindNames;

impl Named for KindNames {
    fn number(name: &str) -> Option<i32> {
        span::SpanKind::from_str_name(name).map(|kind| kind as i32)
    }
}

#[derive(Default)]
struct StatusNames;

impl Named for StatusNames {
    fn number(name: &str) -> Option<i32> {
        status::StatusCode::from_str_name(name).map(|code| code as i32)
    }
}

fn span_of(span: SpanIn, shared: &Shared) -> Result<Span, Rejection> {
    let ids = Ids {
        trace_id: TraceId::from_hex(&span.trace_id),
        span_id: SpanId::from_hex(&span.span_id),
        parent_span_id: assemble::optional(SpanId::from_hex(&span.parent_span_id)),
    };
    let ids = shared.check().and_then(|()| ids.checked());
    let (trace_id, span_id, parent_span_id) =
        ids.map_err(|reason| Rejection::new(Signal::Traces, &span.name, reason))?;
    let (links, dropped_links_count) = assemble::links(span.links.into_iter().map(link_of), span.dropped_links_count.0);
    let span = Span {
        trace_id,
        span_id,
        parent_span_id,
        trace_state: span.trace_state,
        flags: span.flags.0,
        name: span.name,
        kind: SpanKind::from_number(span.kind.0),
        start_ns: span.start_time_unix_nano.0,
        end_ns: span.end_time_unix_nano.0,
        attributes: attributes(span.attributes),
        dropped_attributes_count: span.dropped_attributes_count.0,
        events: span.events.into_iter().map(event_of).collect(),
        dropped_events_count: span.dropped_events_count.0,
        links,
        dropped_links_count,
        status: Status { code: StatusCode::from_number(span.status.code.0), message: span.status.message },
        resource: Arc::clone(&shared.resource),
        scope: Arc::clone(&shared.scope),
    };
    assemble::check_span(span)
}

fn event_of(event: EventIn) -> Event {
    Event {
        time_ns: event.time_unix_nano.0,
        name: event.name,
        attributes: attributes(event.attributes),
        dropped_attributes_count: event.dropped_attributes_count.0,
    }
}

fn link_of(link: LinkIn) -> Result<Link, IdError> {
    Ok(Link {
        trace_id: TraceId::from_hex(&link.trace_id)?,
        span_id: SpanId::from_hex(&link.span_id)?,
        trace_state: link.trace_state,
        flags: link.flags.0,
        attributes: attributes(link.attributes),
        dropped_attributes_count: link.dropped_attributes_count.0,
    })
}

/// The serializable form of a span.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpanOut<'a> {
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

fn span_out(span: &Span) -> SpanOut<'_> {
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
