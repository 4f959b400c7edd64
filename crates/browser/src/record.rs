//! Spans and log records, and the OTLP requests that carry them.
//!
//! Field numbers are those of opentelemetry-proto 1.x: `trace/v1/trace.proto`, `logs/v1/logs.proto`.

use throughline_context::{SpanId, TraceFlags, TraceId};

use crate::{attributes::Attributes, protobuf};

/// The identity of a span, as it is propagated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The id of the span.
    pub span_id: SpanId,
    /// The trace flags: sampled, random.
    pub flags: TraceFlags,
}

/// The kind of a span, with OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal = 1,
    Client = 3,
}

/// A span that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) context: SpanContext,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) attributes: Attributes,
    /// Span events, encoded as fields of the span.
    pub(crate) events: Vec<u8>,
    /// Whether the status is Error; `error.type` has the reason.
    pub(crate) error: bool,
}

/// The bit in OTLP's `Span.flags` by which it is known whether the parent is remote; in a browser it never is.
const FLAGS_HAS_IS_REMOTE: u32 = 0x100;
const STATUS_CODE_ERROR: u64 = 2;
/// The maximum length of a name, bytes; a longer one is cut.
const NAME_LIMIT_BYTES: usize = 1_024;

impl Span {
    /// Adds a span event.
    pub(crate) fn event(&mut self, time_ns: i64, name: &str) {
        let mark = protobuf::open(&mut self.events, 11);
        protobuf::fixed64(&mut self.events, 1, time_ns.cast_unsigned());
        protobuf::bytes(&mut self.events, 2, name.as_bytes());
        protobuf::close(&mut self.events, mark);
    }

    /// Sets the status to Error, and `error.type`.
    pub(crate) fn fail(&mut self, error_type: &str) {
        self.error = true;
        self.attributes.text("error.type", error_type);
    }

    /// Encodes the span as OTLP's `Span`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        protobuf::bytes(&mut out, 1, &self.context.trace_id.to_bytes());
        protobuf::bytes(&mut out, 2, &self.context.span_id.to_bytes());
        if let Some(parent) = self.parent {
            protobuf::bytes(&mut out, 4, &parent.to_bytes());
        }
        protobuf::bytes(&mut out, 5, cut(&self.name));
        protobuf::varint_field(&mut out, 6, self.kind as u64);
        protobuf::fixed64(&mut out, 7, self.start_ns.cast_unsigned());
        // A span must not end before it starts.
        protobuf::fixed64(&mut out, 8, self.end_ns.max(self.start_ns).cast_unsigned());
        self.attributes.write(&mut out, 9, 10);
        out.extend_from_slice(&self.events);
        if self.error {
            let mark = protobuf::open(&mut out, 15);
            protobuf::varint_field(&mut out, 3, STATUS_CODE_ERROR);
            protobuf::close(&mut out, mark);
        }
        protobuf::fixed32(&mut out, 16, u32::from(self.context.flags.bits()) | FLAGS_HAS_IS_REMOTE);
        out
    }
}

/// The severity of a log record, with OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "errors"), allow(dead_code, reason = "without `errors` every event is `Info`"))]
pub(crate) enum Severity {
    Info = 9,
    Warn = 13,
    Error = 17,
}

/// An event, sent as a log record.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) time_ns: i64,
    pub(crate) severity: Severity,
    pub(crate) attributes: Attributes,
    /// The span in which it happened.
    pub(crate) span: Option<SpanContext>,
}

impl Event {
    /// Encodes the event as OTLP's `LogRecord`, observed at `now_ns`.
    pub(crate) fn encode(&self, now_ns: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        protobuf::fixed64(&mut out, 1, self.time_ns.cast_unsigned());
        protobuf::varint_field(&mut out, 2, self.severity as u64);
        self.attributes.write(&mut out, 6, 7);
        if let Some(span) = self.span {
            protobuf::fixed32(&mut out, 8, u32::from(span.flags.bits()));
            protobuf::bytes(&mut out, 9, &span.trace_id.to_bytes());
            protobuf::bytes(&mut out, 10, &span.span_id.to_bytes());
        }
        protobuf::fixed64(&mut out, 11, now_ns.cast_unsigned());
        protobuf::bytes(&mut out, 12, cut(self.name));
        out
    }
}

/// Adds attributes to an encoded record: the fields of a message may be in any order.
pub(crate) fn add_attributes(record: &mut Vec<u8>, signal: Signal, attributes: &Attributes) {
    let (field, dropped_field) = match signal {
        Signal::Traces => (9, 10),
        Signal::Logs => (6, 7),
    };
    attributes.write(record, field, dropped_field);
}

fn cut(name: &str) -> &[u8] {
    let mut end = name.len().min(NAME_LIMIT_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.as_bytes().get(..end).unwrap_or(&[])
}

/// The signal of a request: spans or log records. Their requests have the same structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    pub(crate) const ALL: [Self; 2] = [Self::Traces, Self::Logs];

    /// Returns the OTLP/HTTP path below the endpoint.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }
}

/// The resource and the instrumentation scope, encoded as fields of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Origin {
    pub(crate) fn new(resource: &Attributes, scope_name: &str, scope_version: &str) -> Self {
        let mut origin = Self::default();
        let mark = protobuf::open(&mut origin.resource, 1);
        resource.write(&mut origin.resource, 1, 2);
        protobuf::close(&mut origin.resource, mark);
        let mark = protobuf::open(&mut origin.scope, 1);
        protobuf::bytes(&mut origin.scope, 1, scope_name.as_bytes());
        protobuf::bytes(&mut origin.scope, 2, scope_version.as_bytes());
        protobuf::close(&mut origin.scope, mark);
        origin
    }

    /// Returns the maximum size of a request without its records, bytes.
    pub(crate) const fn overhead_bytes(&self) -> usize {
        // Tags and lengths of the two enclosing messages.
        self.resource.len() + self.scope.len() + 12
    }

    /// Encodes the request with `records`, of either signal.
    pub(crate) fn request<'a>(&self, records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(4_096);
        let resource_records = protobuf::open(&mut out, 1);
        out.extend_from_slice(&self.resource);
        let scope_records = protobuf::open(&mut out, 2);
        out.extend_from_slice(&self.scope);
        for record in records {
            protobuf::bytes(&mut out, 2, record);
        }
        protobuf::close(&mut out, scope_records);
        protobuf::close(&mut out, resource_records);
        out
    }
}

// The crates used for comparison do not build for the browser.
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
#[path = "record_tests.rs"]
mod tests;
