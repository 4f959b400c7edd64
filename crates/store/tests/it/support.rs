//! Helpers: stores, spans and log records.

use std::sync::Arc;

use tempfile::TempDir;
use throughline_context::{SpanId, TraceId};
use throughline_otlp::{KeyValue, LogRecord, Resource, Scope, Signal, Span, Status, StatusCode};
use throughline_store::{SinkCursor, SinkName, Store};

/// Opens a store in a temporary directory.
pub(crate) fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

pub(crate) fn sink(name: &str) -> SinkName {
    SinkName::new(name).unwrap()
}

pub(crate) fn span_cursor(name: &str) -> SinkCursor {
    sink(name).cursor(Signal::Traces)
}

pub(crate) fn log_cursor(name: &str) -> SinkCursor {
    sink(name).cursor(Signal::Logs)
}

pub(crate) fn metric_cursor(name: &str) -> SinkCursor {
    sink(name).cursor(Signal::Metrics)
}

pub(crate) fn trace_id(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16]).unwrap()
}

pub(crate) fn span_id(number: u64) -> SpanId {
    SpanId::from_bytes(number.to_be_bytes()).unwrap()
}

/// Returns a root of service `web` that starts at second `start_s` and lasts one second.
pub(crate) fn root(trace: u8, span: u64, start_s: u64) -> Span {
    let mut root = Span::new(trace_id(trace), span_id(span), service("web"), Arc::new(Scope::default()));
    root.name = format!("root {span}");
    root.start_ns = start_s * 1_000_000_000;
    root.end_ns = root.start_ns + 1_000_000_000;
    root
}

/// Returns a span as [`root`] does, but with a parent, and of service `api`.
pub(crate) fn child(trace: u8, span: u64, start_s: u64, parent: u64) -> Span {
    let mut child = root(trace, span, start_s);
    child.name = format!("child {span}");
    child.parent_span_id = Some(span_id(parent));
    child.resource = service("api");
    child
}

pub(crate) fn failed(mut span: Span) -> Span {
    span.status = Status { code: StatusCode::Error, message: "it broke".to_owned() };
    span
}

/// Returns a log record of service `web` in a trace, at second `time_s`.
pub(crate) fn record(trace: u8, number: u64, time_s: u64) -> LogRecord {
    let mut record = LogRecord::new(service("web"), Arc::new(Scope::default()));
    record.trace_id = Some(trace_id(trace));
    record.event_name = format!("record {number}");
    record.time_ns = time_s * 1_000_000_000;
    record
}

pub(crate) fn service(name: &str) -> Arc<Resource> {
    Arc::new(Resource { attributes: vec![KeyValue::new("service.name", name)], ..Resource::default() })
}

/// Returns a text that does not compress.
pub(crate) fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (state >> 24) as u8 % 95)
    };
    (0..length).map(|_| letter()).collect()
}
