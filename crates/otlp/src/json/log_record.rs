//! Log records in JSON.

use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1 as logs;
use serde::{Deserialize, Serialize};
use throughline_context::{SpanId, TraceId};

use super::{
    Json,
    number::{Enumeration, Named, Whole, nullable},
    read::parse,
    value::{KeyValueIn, KeyValueOut, ValueIn, ValueOut, attributes, attributes_out},
    write::{display, display_some, is_zero},
};
use crate::{
    DecodeError, LogRecord, Rejection, Severity, Signal, Value,
    assemble::{self, LogIds},
    record::Shared,
};

impl Json for LogRecord {
    type Out<'a> = LogRecordOut<'a>;

    fn from_json(object: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError> {
        Ok(record_of(parse(object)?, shared))
    }

    fn to_json(&self) -> Self::Out<'_> {
        record_out(self)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogRecordIn {
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    observed_time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    severity_number: Enumeration<SeverityNames>,
    #[serde(deserialize_with = "nullable")]
    severity_text: String,
    #[serde(deserialize_with = "nullable")]
    body: ValueIn,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    flags: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    trace_id: String,
    #[serde(deserialize_with = "nullable")]
    span_id: String,
    #[serde(deserialize_with = "nullable")]
    event_name: String,
}

#[derive(Default)]
struct SeverityNames;

impl Named for SeverityNames {
    fn number(name: &str) -> Option<i32> {
        logs::SeverityNumber::from_str_name(name).map(|severity| severity as i32)
    }
}

fn record_of(record: LogRecordIn, shared: &Shared) -> Result<LogRecord, Rejection> {
    let ids = LogIds {
        trace_id: assemble::optional(TraceId::from_hex(&record.trace_id)),
        span_id: assemble::optional(SpanId::from_hex(&record.span_id)),
    };
    let ids = shared.check().and_then(|()| ids.checked());
    let (trace_id, span_id) = ids.map_err(|reason| Rejection::new(Signal::Logs, &record.event_name, reason))?;
    let record = LogRecord {
        time_ns: record.time_unix_nano.0,
        observed_time_ns: record.observed_time_unix_nano.0,
        severity: Severity::from_number(record.severity_number.0),
        severity_text: record.severity_text,
        body: record.body.into_value(),
        attributes: attributes(record.attributes),
        dropped_attributes_count: record.dropped_attributes_count.0,
        flags: record.flags.0,
        trace_id,
        span_id,
        event_name: record.event_name,
        resource: Arc::clone(&shared.resource),
        scope: Arc::clone(&shared.scope),
    };
    assemble::check_log_record(record)
}

/// The serializable form of a log record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRecordOut<'a> {
    #[serde(serialize_with = "display")]
    time_unix_nano: u64,
    #[serde(serialize_with = "display")]
    observed_time_unix_nano: u64,
    severity_number: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    severity_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<ValueOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    span_id: Option<SpanId>,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_name: &'a str,
}

fn record_out(record: &LogRecord) -> LogRecordOut<'_> {
    LogRecordOut {
        time_unix_nano: record.time_ns,
        observed_time_unix_nano: record.observed_time_ns,
        severity_number: record.severity.number(),
        severity_text: &record.severity_text,
        body: (record.body != Value::Empty).then_some(ValueOut(&record.body)),
        attributes: attributes_out(&record.attributes),
        dropped_attributes_count: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: record.trace_id,
        span_id: record.span_id,
        event_name: &record.event_name,
    }
}
