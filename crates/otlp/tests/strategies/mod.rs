//! Proptest strategies for arbitrary spans and log records.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*};
use throughline_context::{SpanId, TraceId};
use throughline_otlp::{
    Event, KeyValue, Link, LogRecord, Resource, Scope, Severity, Span, SpanKind, Status, StatusCode, Value,
};

pub(crate) fn trace_id() -> impl Strategy<Value = TraceId> {
    any::<[u8; 16]>().prop_filter_map("all zero", TraceId::from_bytes)
}

pub(crate) fn span_id() -> impl Strategy<Value = SpanId> {
    any::<[u8; 8]>().prop_filter_map("all zero", SpanId::from_bytes)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        any::<String>().prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        prop_oneof![any::<f64>(), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)].prop_map(Value::Double),
        vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((".{0,3}", inner), 0..4).prop_map(|entries| Value::Map(
                entries.into_iter().map(|(key, value)| KeyValue { key, value }).collect()
            )),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(("[a-z.]{0,12}", value()).prop_map(|(key, value)| KeyValue { key, value }), 0..4)
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), ".{0,8}", attributes(), any::<u32>()).prop_map(
        |(time_ns, name, attributes, dropped_attributes_count)| Event {
            time_ns,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (trace_id(), span_id(), "[a-z=,]{0,8}", any::<u32>(), attributes(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, flags, attributes, dropped_attributes_count)| Link {
            trace_id,
            span_id,
            trace_state,
            flags,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn resource() -> impl Strategy<Value = Resource> {
    (attributes(), any::<u32>(), ".{0,5}").prop_map(|(attributes, dropped_attributes_count, schema_url)| Resource {
        attributes,
        dropped_attributes_count,
        schema_url,
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    (".{0,5}", ".{0,5}", attributes(), any::<u32>(), ".{0,5}").prop_map(
        |(name, version, attributes, dropped_attributes_count, schema_url)| Scope {
            name,
            version,
            attributes,
            dropped_attributes_count,
            schema_url,
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    (prop::sample::select(&StatusCode::ALL[..]), ".{0,5}").prop_map(|(code, message)| Status { code, message })
}

fn span(resources: Vec<Arc<Resource>>, scopes: Vec<Arc<Scope>>) -> impl Strategy<Value = Span> {
    (
        (trace_id(), span_id(), option::of(span_id()), ".{0,5}"),
        (any::<u32>(), ".{0,12}", prop::sample::select(&SpanKind::ALL[..])),
        (any::<u64>(), any::<u64>()),
        (attributes(), any::<u32>()),
        (vec(event(), 0..3), any::<u32>()),
        (vec(link(), 0..3), any::<u32>()),
        status(),
        prop::sample::select(resources),
        prop::sample::select(scopes),
    )
        .prop_map(|(ids, what, times, attributes, events, links, status, resource, scope)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: ids.3,
            flags: what.0,
            name: what.1,
            kind: what.2,
            start_ns: times.0,
            end_ns: times.1,
            attributes: attributes.0,
            dropped_attributes_count: attributes.1,
            events: events.0,
            dropped_events_count: events.1,
            links: links.0,
            dropped_links_count: links.1,
            status,
            resource,
            scope,
        })
}

fn log_record(resources: Vec<Arc<Resource>>, scopes: Vec<Arc<Scope>>) -> impl Strategy<Value = LogRecord> {
    (
        (any::<u64>(), any::<u64>()),
        (0..=24, ".{0,5}"),
        value(),
        (attributes(), any::<u32>()),
        any::<u32>(),
        (option::of(trace_id()), option::of(span_id())),
        ".{0,12}",
        prop::sample::select(resources),
        prop::sample::select(scopes),
    )
        .prop_map(|(times, severity, body, attributes, flags, ids, event_name, resource, scope)| LogRecord {
            time_ns: times.0,
            observed_time_ns: times.1,
            severity: Severity::from_number(severity.0),
            severity_text: severity.1,
            body,
            attributes: attributes.0,
            dropped_attributes_count: attributes.1,
            flags,
            trace_id: ids.0,
            span_id: ids.1,
            event_name,
            resource,
            scope,
        })
}

/// Generates a few resources and scopes.
fn sources() -> impl Strategy<Value = (Vec<Arc<Resource>>, Vec<Arc<Scope>>)> {
    (vec(resource().prop_map(Arc::new), 1..4), vec(scope().prop_map(Arc::new), 1..4))
}

/// Generates spans of a few resources and scopes, in any order.
pub(crate) fn spans() -> impl Strategy<Value = Vec<Span>> {
    sources().prop_flat_map(|(resources, scopes)| vec(span(resources, scopes), 0..8))
}

/// Generates log records of a few resources and scopes, in any order.
pub(crate) fn log_records() -> impl Strategy<Value = Vec<LogRecord>> {
    sources().prop_flat_map(|(resources, scopes)| vec(log_record(resources, scopes), 0..8))
}
