//! The spans in the golden files. Together they have every field of a span and every kind of value.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};
use throughline_otlp::{Event, KeyValue, Link, Resource, Scope, Span, SpanKind, Status, StatusCode, Value};

pub(crate) fn trace_id(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16]).expect("the id is not zero")
}

pub(crate) fn span_id(number: u8) -> SpanId {
    SpanId::from_bytes([number; 8]).expect("the id is not zero")
}

pub(crate) fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource {
        attributes: vec![KeyValue::new("service.name", service), KeyValue::new("process.pid", 4_217)],
        dropped_attributes_count: 1,
        schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
    })
}

pub(crate) fn scope() -> Arc<Scope> {
    Arc::new(Scope {
        name: "vault".to_owned(),
        version: "1.2.3".to_owned(),
        attributes: vec![KeyValue::new("built", "twice")],
        dropped_attributes_count: 2,
        schema_url: "https://example.com/schema".to_owned(),
    })
}

fn attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("text", "Überweisung\0"),
        KeyValue::new("int", -7),
        KeyValue::new("large", i64::MAX),
        KeyValue::new("double", 0.1 + 0.2),
        KeyValue::new("thousandths", 12.345),
        KeyValue { key: "empty".to_owned(), value: Value::Empty },
        KeyValue { key: "true".to_owned(), value: Value::Bool(true) },
        KeyValue { key: "false".to_owned(), value: Value::Bool(false) },
        KeyValue { key: "bytes".to_owned(), value: Value::Bytes(vec![0, 1, 255]) },
        KeyValue::new("list", vec![Value::from("a"), Value::Map(vec![KeyValue::new("k", 1)]), Value::Empty]),
        // A key may occur twice.
        KeyValue::new("text", "once more"),
    ]
}

/// Returns three spans of one trace, and one of another.
pub(crate) fn spans() -> Vec<Span> {
    let (web, api) = (resource("web"), resource("api"));
    let span = |trace, id, resource: &Arc<Resource>, start_ns: u64| {
        let mut span = Span::new(trace_id(trace), span_id(id), Arc::clone(resource), scope());
        (span.name, span.start_ns, span.end_ns) =
            (format!("span {id}"), start_ns, start_ns.saturating_add(250_000_000));
        span
    };
    let mut root = span(1, 1, &web, 1_700_000_000_000_000_000);
    (root.kind, root.attributes) = (SpanKind::Client, attributes());
    root.attributes.push(KeyValue::new("user.id", "andrea"));
    let mut full = span(1, 2, &api, 1_700_000_000_100_000_000);
    full.parent_span_id = Some(span_id(1));
    full.trace_state = "vendor=value".to_owned();
    full.flags = 0x301;
    full.kind = SpanKind::Server;
    full.dropped_attributes_count = 3;
    full.status = Status { code: StatusCode::Error, message: "no money".to_owned() };
    full.events = vec![Event {
        time_ns: full.start_ns + 7,
        name: "exception".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 4,
    }];
    full.dropped_events_count = 5;
    full.links = vec![Link {
        trace_id: trace_id(9),
        span_id: span_id(9),
        trace_state: "other=state".to_owned(),
        flags: 1,
        attributes: attributes(),
        dropped_attributes_count: 6,
    }];
    full.dropped_links_count = 7;
    // Its parent is missing, and its times are those of a broken clock.
    let mut lost = span(1, 3, &api, u64::MAX);
    (lost.end_ns, lost.parent_span_id) = (0, Some(span_id(8)));
    lost.status.code = StatusCode::Ok;
    let other = span(2, 4, &web, 1_700_000_060_000_000_000);
    vec![root, full, lost, other]
}
