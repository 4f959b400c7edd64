//! Ids and spans for tests, and the attributes of spans that the server returns.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use throughline_context::{SpanId, TraceId};
use throughline_inspector_api::{Attribute, AttributeValue};
use throughline_otlp::{KeyValue, LogRecord, Resource, Scope, Severity, Span, SpanKind, Value};

/// Returns a random trace id, 32 hex digits.
#[must_use]
pub fn new_trace_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Returns a random span id, 16 hex digits.
#[must_use]
pub fn new_span_id() -> String {
    new_trace_id()[16..].to_owned()
}

/// Returns the `traceparent` header of a sampled trace.
#[must_use]
pub fn traceparent(trace_id: &str, span_id: &str) -> String {
    format!("00-{trace_id}-{span_id}-01")
}

/// Returns the current time, in nanoseconds since the Unix epoch.
#[must_use]
pub fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Returns a root span of the service `bank` that starts now and lasts 10 ms.
///
/// # Panics
/// Panics if the trace id is invalid.
#[must_use]
pub fn span(trace_id: &str, name: &str) -> Span {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "bank")], ..Default::default() };
    let mut span = Span::new(
        TraceId::from_hex(trace_id).unwrap(),
        SpanId::from_hex(&new_span_id()).unwrap(),
        Arc::new(resource),
        Arc::new(Scope { name: "vault".to_owned(), ..Default::default() }),
    );
    name.clone_into(&mut span.name);
    span.kind = SpanKind::Client;
    span.start_ns = now_ns();
    span.end_ns = span.start_ns + 10_000_000;
    span
}

/// Returns the log record of an exception within `span`, with the current time.
#[must_use]
pub fn exception(span: &Span, message: &str) -> LogRecord {
    let mut record = LogRecord::new(Arc::clone(&span.resource), Arc::clone(&span.scope));
    (record.trace_id, record.span_id) = (Some(span.trace_id), Some(span.span_id));
    record.time_ns = now_ns();
    record.severity = Severity::ERROR;
    record.event_name = "exception".to_owned();
    record.attributes.push(KeyValue::new("exception.message", message));
    record
}

/// Adds a string attribute to a span.
pub fn set(span: &mut Span, key: &str, value: &str) {
    span.attributes.push(KeyValue::new(key, Value::from(value)));
}

/// Returns the value of an attribute as a string, also for numbers and booleans; `None` if it is absent.
///
/// # Panics
/// Panics if the value is an array, a map or bytes.
#[must_use]
pub fn text(attributes: &[Attribute], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match &attribute.value {
        AttributeValue::String(text) => text.clone(),
        AttributeValue::Bool(truth) => truth.to_string(),
        AttributeValue::Int(number) => number.to_string(),
        AttributeValue::Double(number) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    })
}

/// Returns an `ExportTraceServiceRequest` in JSON with a span for each trace id, span id and name. The ids are not
/// validated.
#[must_use]
pub fn as_json(spans: &[(&str, &str, &str)]) -> String {
    let start_ns = now_ns();
    let spans: Vec<_> = spans
        .iter()
        .map(|(trace_id, span_id, name)| {
            serde_json::json!({
                "traceId": trace_id, "spanId": span_id, "name": name, "kind": 3,
                "startTimeUnixNano": start_ns.to_string(), "endTimeUnixNano": (start_ns + 5_000_000).to_string(),
                "attributes": [{"key": "client.address", "value": {"stringValue": "203.0.113.9"}}],
            })
        })
        .collect();
    let resource = serde_json::json!({"attributes": [{"key": "service.name", "value": {"stringValue": "bank"}}]});
    serde_json::json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string()
}
