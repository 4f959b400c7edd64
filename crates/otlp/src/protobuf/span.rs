//! `Span` messages.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{self as trace, span};
use prost::Message;
use throughline_context::{IdError, SpanId, TraceId};

use super::{Protobuf, read, write};
use crate::{
    DecodeError, Event, Link, Rejection, Signal, Span, SpanKind, Status, StatusCode,
    assemble::{self, Ids},
    record::Shared,
};

impl Protobuf for Span {
    fn from_protobuf(message: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError> {
        Ok(span_of(trace::Span::decode(message)?, shared))
    }

    fn to_protobuf(&self) -> Vec<u8> {
        span_message(self).encode_to_vec()
    }
}

fn span_of(message: trace::Span, shared: &Shared) -> Result<Span, Rejection> {
    let ids = Ids {
        trace_id: TraceId::from_slice(&message.trace_id),
        span_id: SpanId::from_slice(&message.span_id),
        parent_span_id: assemble::optional(SpanId::from_slice(&message.parent_span_id)),
    };
    let ids = shared.check().and_then(|()| ids.checked());
    let (trace_id, span_id, parent_span_id) =
        ids.map_err(|reason| Rejection::new(Signal::Traces, &message.name, reason))?;
    let (links, dropped_links_count) =
        assemble::links(message.links.into_iter().map(link_of), message.dropped_links_count);
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
        attributes: read::attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        events: message.events.into_iter().map(event_of).collect(),
        dropped_events_count: message.dropped_events_count,
        links,
        dropped_links_count,
        status: message.status.map_or_else(Status::default, status_of),
        resource: Arc::clone(&shared.resource),
        scope: Arc::clone(&shared.scope),
    };
    assemble::check_span(span)
}

fn status_of(message: trace::Status) -> Status {
    Status { code: StatusCode::from_number(message.code), message: message.message }
}

fn event_of(message: span::Event) -> Event {
    Event {
        time_ns: message.time_unix_nano,
        name: message.name,
        attributes: read::attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
    }
}

fn link_of(message: span::Link) -> Result<Link, IdError> {
    Ok(Link {
        trace_id: TraceId::from_slice(&message.trace_id)?,
        span_id: SpanId::from_slice(&message.span_id)?,
        trace_state: message.trace_state,
        flags: message.flags,
        attributes: read::attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
    })
}

fn span_message(span: &Span) -> trace::Span {
    trace::Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: span.parent_span_id.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind.number(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: write::attributes(&span.attributes),
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
        attributes: write::attributes(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: &Link) -> span::Link {
    span::Link {
        trace_id: link.trace_id.to_bytes().to_vec(),
        span_id: link.span_id.to_bytes().to_vec(),
        trace_state: link.trace_state.clone(),
        attributes: write::attributes(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    }
}
