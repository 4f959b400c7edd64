//! Traces: the list, and one trace with its spans and log records.
//!
//! Nanoseconds are decimal strings in JSON (64 bits do not fit a JavaScript number) and integers in Rust.
//! Ids are lower-case hex: 32 digits for a trace, 16 for a span.

use serde::{Deserialize, Serialize};

use crate::decimal;

/// How the time of a trace's fetches divides, in milliseconds, summed over those with figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    /// Network up and down together; measured.
    pub network_ms: f64,
    /// Up; an estimate.
    pub uplink_ms: f64,
    /// Down; an estimate.
    pub downlink_ms: f64,
    /// Half the width of the interval in which the estimates lie.
    pub error_ms: f64,
    /// Between request received and response head sent, by the server's own clock.
    pub server_ms: f64,
}

/// One line of the list of traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// 32 hex digits.
    pub trace_id: String,
    /// The name of the span without a parent; of the earliest span while that has not arrived.
    pub root_name: String,
    /// The service of that span.
    pub root_service: String,
    /// Whether the span without a parent has arrived.
    pub has_root: bool,
    /// Start of the earliest span, Unix nanoseconds, raw.
    #[serde(with = "decimal")]
    pub start_ns: u64,
    /// From the start of the root to its end, nanoseconds; from the first start to the last end without a root.
    #[serde(with = "decimal")]
    pub duration_ns: u64,
    /// How many spans have arrived.
    pub span_count: u32,
    /// How many of them have status Error.
    pub error_count: u32,
    /// Their services, in order of first appearance.
    pub services: Vec<String>,
    /// `user.id` or else `app.user_id`, where a span carries one.
    pub user: Option<String>,
    /// The network figures, where a fetch span carries them.
    pub bands: Option<Bands>,
}

/// `GET /api/traces`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceList {
    /// Newest first, by start.
    pub traces: Vec<TraceSummary>,
    /// What to send as `before` for the next page; absent on the last.
    pub next_before: Option<String>,
}

/// An attribute's value, as OTLP knows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// Truth.
    Bool(bool),
    /// A 64-bit integer.
    Int(#[serde(with = "decimal")] i64),
    /// A double; text where JSON has no number for it (`NaN`, `inf`, `-inf`).
    Double(#[serde(with = "decimal")] f64),
    /// Bytes, base64.
    Bytes(String),
    /// A list.
    Array(Vec<AttributeValue>),
    /// A map.
    Map(Vec<Attribute>),
    /// Present without a value.
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

/// Who was on which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Not said.
    #[default]
    Unspecified,
    /// Within a program.
    Internal,
    /// The receiving end of a request.
    Server,
    /// The asking end of a request.
    Client,
    /// The sending end of a message.
    Producer,
    /// The receiving end of a message.
    Consumer,
}

/// How a span ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusCode {
    /// Not said, which is the usual good end.
    #[default]
    Unset,
    /// Good, said so.
    Ok,
    /// Bad.
    Error,
}

/// Something that happened within a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, Unix nanoseconds.
    #[serde(with = "decimal")]
    pub time_ns: u64,
    /// What.
    pub name: String,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// Another span that this one has to do with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Its trace, 32 hex digits.
    pub trace_id: String,
    /// Its span, 16 hex digits.
    pub span_id: String,
    /// More about the connection.
    pub attributes: Vec<Attribute>,
}

/// Something about a span that a person should know before believing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Its parent has not arrived.
    Orphan,
    /// It ends before it starts, or its clock is far from when it was received.
    ClockInconsistent,
    /// A server span that does not fit inside its fetch span after alignment.
    UnverifiedJoin,
}

/// One span of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; absent on a root.
    pub parent_span_id: Option<String>,
    /// What it is called.
    pub name: String,
    /// Which end it is.
    pub kind: SpanKind,
    /// `service.name` of its resource.
    pub service: String,
    /// Start, Unix nanoseconds, as its maker's clock said.
    #[serde(with = "decimal")]
    pub start_ns: u64,
    /// Length in nanoseconds.
    #[serde(with = "decimal")]
    pub duration_ns: u64,
    /// What to add to `start_ns` to see it in the clock of the trace's root, nanoseconds; 0 where nothing is known.
    #[serde(with = "decimal")]
    pub align_ns: i64,
    /// How it ended.
    pub status: StatusCode,
    /// What the program said about that; may be empty.
    pub status_message: String,
    /// Of the span.
    pub attributes: Vec<Attribute>,
    /// Of its resource.
    pub resource: Vec<Attribute>,
    /// The name of the instrumentation scope; may be empty.
    pub scope: String,
    /// In order of time.
    pub events: Vec<Event>,
    /// As sent.
    pub links: Vec<Link>,
    /// What to know before believing it.
    pub warnings: Vec<Warning>,
}

/// Something that was said in the course of a trace. One with a name is an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When, Unix nanoseconds, as its maker's clock said; when it was noticed, where that is not known.
    #[serde(with = "decimal")]
    pub time_ns: u64,
    /// What to add to `time_ns` to see it in the clock of the trace's root, nanoseconds; 0 where nothing is known.
    #[serde(with = "decimal")]
    pub align_ns: i64,
    /// The span in whose course, 16 hex digits; it may not have arrived, or be absent.
    pub span_id: Option<String>,
    /// `service.name` of its resource.
    pub service: String,
    /// OpenTelemetry's `SeverityNumber`: 1 to 24, 17 and more are errors; 0 where it was not said.
    pub severity: u8,
    /// The same in its maker's words; may be empty.
    pub severity_text: String,
    /// What kind of event, such as `exception`; empty for what is only said.
    pub event_name: String,
    /// What was said: text, or anything else.
    pub body: AttributeValue,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// `GET /api/traces/{trace_id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// 32 hex digits.
    pub trace_id: String,
    /// By start in aligned time, parents before children.
    pub spans: Vec<Span>,
    /// By aligned time.
    pub logs: Vec<LogRecord>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_javascript_cannot_hold_survive() {
        let value = AttributeValue::Int(i64::MAX);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, r#"{"type":"int","value":"9223372036854775807"}"#);
        assert_eq!(serde_json::from_str::<AttributeValue>(&json).unwrap(), value);
        let json = serde_json::to_string(&AttributeValue::Double(f64::INFINITY)).unwrap();
        assert_eq!(json, r#"{"type":"double","value":"inf"}"#);
    }
}
