//! `LogRecord` messages.

use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1 as logs;
use prost::Message;
use throughline_context::{SpanId, TraceId};

use super::{Protobuf, read, write};
use crate::{
    DecodeError, LogRecord, Rejection, Severity, Signal, Value,
    assemble::{self, LogIds},
    record::Shared,
};

impl Protobuf for LogRecord {
    fn from_protobuf(message: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError> {
        Ok(record_of(logs::LogRecord::decode(message)?, shared))
    }

    fn to_protobuf(&self) -> Vec<u8> {
        record_message(self).encode_to_vec()
    }
}

fn record_of(message: logs::LogRecord, shared: &Shared) -> Result<LogRecord, Rejection> {
    let ids = LogIds {
        trace_id: assemble::optional(TraceId::from_slice(&message.trace_id)),
        span_id: assemble::optional(SpanId::from_slice(&message.span_id)),
    };
    let ids = shared.check().and_then(|()| ids.checked());
    let (trace_id, span_id) = ids.map_err(|reason| Rejection::new(Signal::Logs, &message.event_name, reason))?;
    let record = LogRecord {
        time_ns: message.time_unix_nano,
        observed_time_ns: message.observed_time_unix_nano,
        severity: Severity::from_number(message.severity_number),
        severity_text: message.severity_text,
        body: message.body.map_or(Value::Empty, read::value),
        attributes: read::attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        flags: message.flags,
        trace_id,
        span_id,
        event_name: message.event_name,
        resource: Arc::clone(&shared.resource),
        scope: Arc::clone(&shared.scope),
    };
    assemble::check_log_record(record)
}

fn record_message(record: &LogRecord) -> logs::LogRecord {
    logs::LogRecord {
        time_unix_nano: record.time_ns,
        observed_time_unix_nano: record.observed_time_ns,
        severity_number: record.severity.number().into(),
        severity_text: record.severity_text.clone(),
        body: (record.body != Value::Empty).then(|| write::value(&record.body)),
        attributes: write::attributes(&record.attributes),
        dropped_attributes_count: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: record.trace_id.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        span_id: record.span_id.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        event_name: record.event_name.clone(),
    }
}
