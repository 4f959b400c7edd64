//! From JSON to the model.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{span, status};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use throughline_context::{IdError, SpanId, TraceId};

use super::{
    number::{Enumeration, Named, Whole, nullable},
    value::{KeyValueIn, attributes},
};
use crate::{
    DecodeError, Event, Link, Rejection, Resource, Scope, Span, SpanKind, Status, StatusCode,
    assemble::{self, Ids},
    traces::Decoded,
};

// Lists of resources, scopes and spans are left as text and read one at a time, as in protobuf and for the same
// reason: a body of `{},{},{}` must not become a hundred times its size in memory.

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RequestIn<'a> {
    #[serde(borrow)]
    resource_spans: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceSpansIn<'a> {
    #[serde(deserialize_with = "nullable")]
    resource: ResourceIn,
    #[serde(borrow)]
    scope_spans: Option<Vec<&'a RawValue>>,
    #[serde(deserialize_with = "nullable")]
    schema_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceIn {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeSpansIn<'a> {
    #[serde(deserialize_with = "nullable")]
    scope: ScopeIn,
    #[serde(borrow)]
    spans: Option<Vec<&'a RawValue>>,
    #[serde(deserialize_with = "nullable")]
    schema_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeIn {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    version: String,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
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

pub(crate) fn decode_traces(body: &[u8]) -> Result<Decoded, DecodeError> {
    let mut decoded = Decoded::default();
    if body.trim_ascii().is_empty() {
        return Ok(decoded);
    }
    let request: RequestIn<'_> = parse(body)?;
    for resource_spans in request.resource_spans.unwrap_or_default() {
        let resource_spans: ResourceSpansIn<'_> = parse(resource_spans.get().as_bytes())?;
        let resource = Arc::new(Resource {
            attributes: attributes(resource_spans.resource.attributes),
            dropped_attributes_count: resource_spans.resource.dropped_attributes_count.0,
            schema_url: resource_spans.schema_url,
        });
        let resource_ok = assemble::check_shared_depth(&resource.attributes);
        for scope_spans in resource_spans.scope_spans.unwrap_or_default() {
            let scope_spans: ScopeSpansIn<'_> = parse(scope_spans.get().as_bytes())?;
            let scope = Arc::new(Scope {
                name: scope_spans.scope.name,
                version: scope_spans.scope.version,
                attributes: attributes(scope_spans.scope.attributes),
                dropped_attributes_count: scope_spans.scope.dropped_attributes_count.0,
                schema_url: scope_spans.schema_url,
            });
            let shared_ok = resource_ok.clone().and_then(|()| assemble::check_shared_depth(&scope.attributes));
            for span in scope_spans.spans.unwrap_or_default() {
                let span: SpanIn = parse(span.get().as_bytes())?;
                let span = shared_ok
                    .clone()
                    .map_err(|reason| Rejection::new(&span.name, reason))
                    .and_then(|()| span_of(span, &resource, &scope));
                decoded.push(span)?;
            }
        }
    }
    Ok(decoded)
}

/// Reads an object. serde would take an array for a struct too, and `[]` for one with nothing in it.
fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, serde_json::Error> {
    match text.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(text),
        _ => Err(de::Error::custom("an object is expected")),
    }
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

fn span_of(span: SpanIn, resource: &Arc<Resource>, scope: &Arc<Scope>) -> Result<Span, Rejection> {
    let ids = Ids {
        trace_id: TraceId::from_hex(&span.trace_id),
        span_id: SpanId::from_hex(&span.span_id),
        parent_span_id: parent(&span.parent_span_id),
    };
    let (trace_id, span_id, parent_span_id) = ids.checked().map_err(|reason| Rejection::new(&span.name, reason))?;
    let (links, dropped_links_count) = assemble::links(span.links.into_iter().map(link), span.dropped_links_count.0);
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
        events: span.events.into_iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count.0,
        links,
        dropped_links_count,
        status: Status { code: StatusCode::from_number(span.status.code.0), message: span.status.message },
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
    };
    match assemble::check_depth(&span) {
        Ok(()) => Ok(span),
        Err(reason) => Err(Rejection::new(&span.name, reason)),
    }
}

/// A root has no parent; some senders write it as sixteen zeros.
fn parent(hex: &str) -> Result<Option<SpanId>, IdError> {
    if hex.is_empty() || hex == "0000000000000000" { Ok(None) } else { SpanId::from_hex(hex).map(Some) }
}

fn event(event: EventIn) -> Event {
    Event {
        time_ns: event.time_unix_nano.0,
        name: event.name,
        attributes: attributes(event.attributes),
        dropped_attributes_count: event.dropped_attributes_count.0,
    }
}

fn link(link: LinkIn) -> Result<Link, IdError> {
    Ok(Link {
        trace_id: TraceId::from_hex(&link.trace_id)?,
        span_id: SpanId::from_hex(&link.span_id)?,
        trace_state: link.trace_state,
        flags: link.flags.0,
        attributes: attributes(link.attributes),
        dropped_attributes_count: link.dropped_attributes_count.0,
    })
}
