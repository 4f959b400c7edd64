//! Log records: what a program said, and when. One with a name is an event.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};

use crate::{
    Record, Resource, Scope, Signal,
    value::{self, KeyValue, Value},
};

/// How bad it is: `SeverityNumber`, 1 to 24, or 0 if the sender did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// The sender did not say, or said something unknown.
    pub const UNSPECIFIED: Self = Self(0);
    /// The least of the errors.
    pub const ERROR: Self = Self(17);
    /// The greatest that there is.
    const GREATEST: i32 = 24;

    /// The severity with that number; [`Severity::UNSPECIFIED`] for a number that is not known.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        if number < 1 || number > Self::GREATEST { Self::UNSPECIFIED } else { Self(number as u8) }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether it is an error or worse.
    #[must_use]
    pub fn is_error(self) -> bool {
        self >= Self::ERROR
    }
}

/// Something that was said: `LogRecord` of `opentelemetry/proto/logs/v1/logs.proto`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When it happened, in nanoseconds since the Unix epoch, by the sender's clock; 0 if that is not known.
    pub time_ns: u64,
    /// When somebody took notice of it, likewise.
    pub observed_time_ns: u64,
    /// How bad it is.
    pub severity: Severity,
    /// The same in the sender's words; may be empty.
    pub severity_text: String,
    /// What is said: text, or anything else.
    pub body: Value,
    /// What else is known about it.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
    /// W3C trace flags in the lower 8 bits.
    pub flags: u32,
    /// The trace to which it belongs, if any.
    pub trace_id: Option<TraceId>,
    /// The span to which it belongs, if any; it means nothing without a trace.
    pub span_id: Option<SpanId>,
    /// What kind of event it is, such as `exception`; empty for what is only said.
    pub event_name: String,
    /// Who made it.
    pub resource: Arc<Resource>,
    /// The library that made it.
    pub scope: Arc<Scope>,
}

impl LogRecord {
    /// A record that says nothing, at no time.
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

    /// The first attribute with that key; the resource's are not looked at.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// [`Resource::service_name`] of its resource.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.resource.service_name()
    }

    /// When it happened; when it was noticed, where that is not known (logs data model, "Recipients of log data").
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
    fn severities() {
        for number in 1..=24 {
            assert_eq!(i32::from(Severity::from_number(number).number()), number);
            assert_eq!(Severity::from_number(number).is_error(), number >= 17);
        }
        for unknown in [i32::MIN, -1, 0, 25, 273, i32::MAX] {
            assert_eq!(Severity::from_number(unknown), Severity::UNSPECIFIED, "{unknown}");
        }
    }

    #[test]
    fn what_has_no_time_was_noticed_at_some_time() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        record.observed_time_ns = 7;
        assert_eq!(record.at_ns(), 7);
        record.time_ns = 5;
        assert_eq!(record.at_ns(), 5);
    }

    #[test]
    fn it_is_called_by_its_name_or_by_what_it_says() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        assert_eq!(record.title(), "");
        record.body = Value::from("disk full");
        assert_eq!(record.title(), "disk full");
        record.event_name = "exception".to_owned();
        assert_eq!(record.title(), "exception");
    }
}
