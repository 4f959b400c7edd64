//! Log records. A log record with an event name is an event.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};

use crate::{
    Record, Resource, Scope, Signal,
    value::{self, KeyValue, Value},
};

/// The severity of a log record: `SeverityNumber`, 1 to 24, or 0 if not specified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// Not specified by the sender, or unknown.
    pub const UNSPECIFIED: Self = Self(0);
    /// The lowest severity of an error.
    pub const ERROR: Self = Self(17);
    /// The highest valid number.
    const GREATEST: i32 = 24;

    /// Returns the severity with this number; [`Severity::UNSPECIFIED`] for an unknown number.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        if number < 1 || number > Self::GREATEST { Self::UNSPECIFIED } else { Self(number as u8) }
    }

    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns whether the severity is `ERROR` or higher.
    #[must_use]
    pub fn is_error(self) -> bool {
        self >= Self::ERROR
    }
}

/// A log record: `LogRecord` of `opentelemetry/proto/logs/v1/logs.proto`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When it happened, in nanoseconds since the Unix epoch, by the sender's clock; 0 if unknown.
    pub time_ns: u64,
    /// When it was observed, in nanoseconds since the Unix epoch; 0 if unknown.
    pub observed_time_ns: u64,
    /// The severity.
    pub severity: Severity,
    /// The sender's name for the severity; may be empty.
    pub severity_text: String,
    /// The body: text or any other value.
    pub body: Value,
    /// The attributes.
    pub attributes: Vec<KeyValue>,
    /// The number of attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// The W3C trace flags in the lower 8 bits.
    pub flags: u32,
    /// The id of the trace, if any.
    pub trace_id: Option<TraceId>,
    /// The id of the span, if any; meaningless without a trace id.
    pub span_id: Option<SpanId>,
    /// The event name, such as `exception`; empty if the record is not an event.
    pub event_name: String,
    /// The source of the record.
    pub resource: Arc<Resource>,
    /// The instrumentation library.
    pub scope: Arc<Scope>,
}

impl LogRecord {
    /// Creates a record whose other fields are empty or 0.
    #[must_use]
    pub fn new(resource: Arc<Resource>, scope: Arc<Scope>) -> Self {
        Self {
            time_ns: 0,
            observed_time_ns: 0,
            severity: Severity::UNSPECIFIED,
            severity_text: String::new(),
            body: Value::Empty,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: None,
            span_id: None,
            event_name: String::new(),
            resource,
            scope,
        }
    }

    /// Returns the value of the first attribute of the record itself with this key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// Returns the service name of the resource; see [`Resource::service_name`].
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.resource.service_name()
    }

    /// Returns when the record happened or, if that is unknown, when it was observed (logs data model, "Recipients of
    /// log data").
    #[must_use]
    pub const fn at_ns(&self) -> u64 {
        if self.time_ns == 0 { self.observed_time_ns } else { self.time_ns }
    }
}

impl Record for LogRecord {
    const SIGNAL: Signal = Signal::Logs;

    fn title(&self) -> &str {
        match self.body.as_str() {
            Some(text) if self.event_name.is_empty() => text,
            _ => &self.event_name,
        }
    }

    fn source(&self) -> (&Arc<Resource>, &Arc<Scope>) {
        (&self.resource, &self.scope)
    }

    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn parts_mut(&mut self) -> (&mut Arc<Resource>, &mut Arc<Scope>, &mut Vec<KeyValue>) {
        (&mut self.resource, &mut self.scope, &mut self.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_severity_numbers_are_unspecified() {
        for number in 1..=24 {
            assert_eq!(i32::from(Severity::from_number(number).number()), number);
            assert_eq!(Severity::from_number(number).is_error(), number >= 17);
        }
        for unknown in [i32::MIN, -1, 0, 25, 273, i32::MAX] {
            assert_eq!(Severity::from_number(unknown), Severity::UNSPECIFIED, "{unknown}");
        }
    }

    #[test]
    fn a_record_without_a_time_has_its_observed_time() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        record.observed_time_ns = 7;
        assert_eq!(record.at_ns(), 7);
        record.time_ns = 5;
        assert_eq!(record.at_ns(), 5);
    }

    #[test]
    fn the_title_is_the_event_name_or_the_body() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        assert_eq!(record.title(), "");
        record.body = Value::from("disk full");
        assert_eq!(record.title(), "disk full");
        record.event_name = "exception".to_owned();
        assert_eq!(record.title(), "exception");
    }
}
