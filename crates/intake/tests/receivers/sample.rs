//! Sample spans and log records.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};
use throughline_otlp::{KeyValue, LogRecord, Record, Resource, Scope, Severity, Span, Value};
use throughline_store::{SpanStore as _, Store};

/// A kind of record with samples.
pub(crate) trait Sample: Record {
    /// The field of a partial success with the number of rejected records.
    const REJECTED: &str;

    /// Creates a record with this number in its name.
    fn sample(number: u64) -> Self;

    /// Returns the number of dropped attributes.
    fn dropped_attributes_count(&self) -> u32;

    /// Returns all stored records of the sample trace.
    fn stored(store: &Store) -> impl Future<Output = Vec<Self>>;
}

pub(crate) fn trace_id() -> TraceId {
    TraceId::from_bytes([7; 16]).unwrap()
}

pub(crate) fn source() -> (Arc<Resource>, Arc<Scope>) {
    let resource = Resource {
        attributes: vec![
            KeyValue::new("service.name", "bank"),
            KeyValue::new("host.name", "vault"),
            KeyValue::new("deployment.environment.name", "production"),
            KeyValue::new("browser.language", "en"),
            KeyValue::new("user_agent.original", "Mozilla/5.0"),
        ],
        ..Resource::default()
    };
    (Arc::new(resource), Arc::new(Scope { name: "scope".to_owned(), ..Scope::default() }))
}

impl Sample for Span {
    const REJECTED: &str = "rejectedSpans";

    fn sample(number: u64) -> Self {
        let span_id = SpanId::from_bytes((number + 1).to_be_bytes()).unwrap();
        let (resource, scope) = source();
        let mut span = Self::new(trace_id(), span_id, resource, scope);
        span.name = format!("sample {number}");
        (span.start_ns, span.end_ns) = (1_000 + number, 2_000 + number);
        span
    }

    fn dropped_attributes_count(&self) -> u32 {
        self.dropped_attributes_count
    }

    async fn stored(store: &Store) -> Vec<Self> {
        store.trace(trace_id()).await.unwrap()
    }
}

impl Sample for LogRecord {
    const REJECTED: &str = "rejectedLogRecords";

    fn sample(number: u64) -> Self {
        let (resource, scope) = source();
        let mut record = Self::new(resource, scope);
        record.trace_id = Some(trace_id());
        record.event_name = format!("sample {number}");
        record.time_ns = 1_000 + number;
        record.severity = Severity::ERROR;
        record.body = Value::Map(vec![KeyValue::new("message", "ouch")]);
        record
    }

    fn dropped_attributes_count(&self) -> u32 {
        self.dropped_attributes_count
    }

    async fn stored(store: &Store) -> Vec<Self> {
        store.trace_logs(trace_id()).await.unwrap()
    }
}

pub(crate) fn attribute<'a>(record: &'a impl Record, key: &str) -> Option<&'a Value> {
    record.attributes().iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

pub(crate) fn set<R: Sample>(mut record: R, attributes: Vec<KeyValue>) -> R {
    *record.parts_mut().2 = attributes;
    record
}
