//! The list of traces, and one trace with its spans and log records.
//!
//! Nanoseconds are decimal strings in JSON, because 64 bits do not fit a JavaScript number, and integers in Rust. Ids are
//! lower-case hex: 32 digits for a trace, 16 for a span.

use serde::{Deserialize, Serialize};

use crate::decimal;

/// The time of a trace's fetches by band, in milliseconds, summed over all fetches with network figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    /// Uplink and downlink together; measured.
    pub network_ms: f64,
    /// Uplink; an estimate.
    pub uplink_ms: f64,
    /// Downlink; an estimate.
    pub downlink_ms: f64,
    /// Half the width of the interval in which the estimates lie.
    pub error_ms: f64,
    /// From the receipt of the request to the response head, by the server's own clock.
    pub server_ms: f64,
}

/// The summary of one trace in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// The trace id, 32 hex digits.
    pub trace_id: String,
    /// The name of the root span; of the earliest span until the root has arrived.
    pub root_name: String,
    /// The service of that span.
    pub root_service: String,
    /// Whether the root span, which has no parent, has arrived.
    pub has_root: bool,
    /// The start of the earliest span as recorded, in Unix nanoseconds.
    #[serde(with = "decimal")]
    pub start_ns: u64,
    /// The duration of the root, in nanoseconds; without a root, the time from the first start to the last end.
    #[serde(with = "decimal")]
    pub duration_ns: u64,
    /// The number of spans that have arrived.
    pub span_count: u32,
    /// The number of spans with status Error.
    pub error_count: u32,
    /// The services of the spans, in order of first appearance.
    pub services: Vec<String>,
    /// `user.id`, or else `app.user_id`, if a span has one.
    pub user: Option<String>,
    /// The network figures, if a fetch span has them.
    pub bands: Option<Bands>,
}

/// The response to `GET /api/traces`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceList {
    /// The traces, newest first by start.
    pub traces: Vec<TraceSummary>,
    /// The value of `before` for the next page; absent on the last page.
    pub next_before: Option<String>,
}

/// The value of an attribute, as defined by OTLP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(#[serde(with = "decimal")] i64),
    /// A double, as a decimal string (also `NaN`, `inf` and `-inf`).
    Double(#[serde(with = "decimal")] f64),
    /// Bytes, base64.
    Bytes(String),
    /// A list.
    Array(Vec<AttributeValue>),
    /// A map.
    Map(Vec<Attribute>),
    /// No value.
    Empty,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// The key.
    pub key: String,
    /// The value.
    pub value: AttributeValue,
}

/// The role of a span in a request or message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// The kind is not set.
    #[default]
    Unspecified,
    /// An operation within a program.
    Internal,
    /// The server side of a request.
    Server,
    /// The client side of a request.
    Client,
    /// The sender of a message.
    Producer,
    /// The receiver of a message.
    Consumer,
}

/// The status of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusCode {
    /// The status is not set, which is usual for a successful span.
    #[default]
    Unset,
    /// Explicitly successful.
    Ok,
    /// Failed.
    Error,
}

/// An event within a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The time, in Unix nanoseconds.
    #[serde(with = "decimal")]
    pub time_ns: u64,
    /// The name.
    pub name: String,
    /// The attributes.
    pub attributes: Vec<Attribute>,
}

/// A link to a related span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The trace id of the linked span, 32 hex digits.
    pub trace_id: String,
    /// The span id of the linked span, 16 hex digits.
    pub span_id: String,
    /// The attributes of the link.
    pub attributes: Vec<Attribute>,
}

/// A reason to doubt the times or the parent of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The parent of the span has not arrived.
    Orphan,
    /// The span ends before it starts, or its end is far from the time it was received.
    ClockInconsistent,
    /// The server span does not fit inside its fetch span after alignment.
    UnverifiedJoin,
}

/// One span of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The trace id, 32 hex digits.
    pub trace_id: String,
    /// The span id, 16 hex digits.
    pub span_id: String,
    /// The span id of the parent, 16 hex digits; absent on a root.
    pub parent_span_id: Option<String>,
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: SpanKind,
    /// `service.name` of the resource.
    pub service: String,
    /// The start as recorded by the service's clock, in Unix nanoseconds.
    #[serde(with = "decimal")]
    pub start_ns: u64,
    /// The duration, in nanoseconds.
    #[serde(with = "decimal")]
    pub duration_ns: u64,
    /// The offset that converts `start_ns` to the clock of the trace's root, in nanoseconds; 0 if it is not known.
    #[serde(with = "decimal")]
    pub align_ns: i64,
    /// The status.
    pub status: StatusCode,
    /// The message of the status; may be empty.
    pub status_message: String,
    /// The attributes of the span.
    pub attributes: Vec<Attribute>,
    /// The attributes of the resource.
    pub resource: Vec<Attribute>,
    /// The name of the instrumentation scope; may be empty.
    pub scope: String,
    /// The events.
    pub events: Vec<Event>,
    /// The links.
    pub links: Vec<Link>,
    /// Reasons to doubt the span's times or parent.
    pub warnings: Vec<Warning>,
}

/// A log record of a trace. A record with an event name is an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// The time as recorded by the service's clock, in Unix nanoseconds; the observed time if the record has none.
    #[serde(with = "decimal")]
    pub time_ns: u64,
    /// The offset that converts `time_ns` to the clock of the trace's root, in nanoseconds; 0 if it is not known.
    #[serde(with = "decimal")]
    pub align_ns: i64,
    /// The id of the record's span, 16 hex digits, if it has one; the span may not have arrived.
    pub span_id: Option<String>,
    /// `service.name` of the resource.
    pub service: String,
    /// OpenTelemetry's `SeverityNumber`: 1 to 24, 17 and above are errors; 0 if it is not set.
    pub severity: u8,
    /// The severity as the sender wrote it; may be empty.
    pub severity_text: String,
    /// The name of the event, such as `exception`; empty for a plain log record.
    pub event_name: String,
    /// The body: text, or any other value.
    pub body: AttributeValue,
    /// The attributes.
    pub attributes: Vec<Attribute>,
}

/// The response to `GET /api/traces/{trace_id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The trace id, 32 hex digits.
    pub trace_id: String,
    /// The spans by aligned start; of spans with the same start, roots first.
    pub spans: Vec<Span>,
    /// The log records by aligned time.
    pub logs: Vec<LogRecord>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_javascript_cannot_represent_round_trip() {
        let value = AttributeValue::Int(i64::MAX);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, r#"{"type":"int","value":"9223372036854775807"}"#);
        assert_eq!(serde_json::from_str::<AttributeValue>(&json).unwrap(), value);
        let json = serde_json::to_string(&AttributeValue::Double(f64::INFINITY)).unwrap();
        assert_eq!(json, r#"{"type":"double","value":"inf"}"#);
    }
}
