//! Log records: the span that each is shown with, and their texts.

use std::collections::HashMap;

use throughline_inspector_api::{AttributeValue, LogRecord, Span};

use crate::{find, format, model::Clock};

/// OpenTelemetry's name for an exception event.
const EXCEPTION: &str = "exception";
/// The lowest `SeverityNumber` of an error.
const ERROR: u8 = 17;

/// The log records of a trace, grouped by the span they are shown with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    /// The records in the order of the response, by time.
    pub records: Vec<LogRecord>,
    /// The records of each span.
    of_span: Vec<Vec<usize>>,
    /// The records that name no span, or one that is not in the trace.
    untied: Vec<usize>,
    /// The span that untied records are shown with.
    root: Option<usize>,
}

/// The number of records shown with a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// All records.
    pub count: usize,
    /// Records that report an error.
    pub errors: usize,
}

impl Logs {
    /// Groups `records` by span. `by_id` maps span ids to indices; `root` is the span that represents the trace.
    pub(crate) fn new(
        records: Vec<LogRecord>,
        spans: &[Span],
        by_id: &HashMap<String, usize>,
        root: Option<usize>,
    ) -> Self {
        let mut of_span = vec![Vec::new(); spans.len()];
        let mut untied = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match record.span_id.as_ref().and_then(|id| by_id.get(id)).and_then(|span| of_span.get_mut(*span)) {
                Some(own) => own.push(index),
                None => untied.push(index),
            }
        }
        Self { records, of_span, untied, root }
    }

    /// Returns the records that name this span.
    pub fn tied(&self, span: usize) -> impl Iterator<Item = &LogRecord> {
        self.pick(self.of_span.get(span).map_or(&[], Vec::as_slice))
    }

    /// Returns the records that belong to no span of the trace, if `span` is the root, which they are shown with.
    pub fn untied(&self, span: usize) -> impl Iterator<Item = &LogRecord> {
        self.pick(if self.root == Some(span) { &self.untied } else { &[] })
    }

    /// Counts the records shown with a span; `None` if there are none.
    #[must_use]
    pub fn mark(&self, span: usize) -> Option<Mark> {
        let (mut count, mut errors) = (0, 0);
        for record in self.tied(span).chain(self.untied(span)) {
            count += 1;
            errors += usize::from(is_error(record));
        }
        (count > 0).then_some(Mark { count, errors })
    }

    fn pick<'a>(&'a self, indices: &'a [usize]) -> impl Iterator<Item = &'a LogRecord> {
        indices.iter().filter_map(|index| self.records.get(*index))
    }
}

impl Mark {
    /// Formats the counts: `3 log records, 1 of them an error`.
    #[must_use]
    pub fn words(self) -> String {
        let records = format::count(self.count, "log record");
        match self.errors {
            0 => records,
            errors if errors == self.count => {
                format!("{records}, {}", if errors == 1 { "an error" } else { "all errors" })
            }
            1 => format!("{records}, 1 of them an error"),
            errors => format!("{records}, {} of them errors", format::thousands(errors)),
        }
    }
}

/// Returns whether a record reports an error.
#[must_use]
pub fn is_error(record: &LogRecord) -> bool {
    record.event_name == EXCEPTION || record.severity >= ERROR
}

/// Returns the severity as the sender wrote it, or OpenTelemetry's name for its number; empty if it is not set.
#[must_use]
pub fn severity_words(record: &LogRecord) -> &str {
    if !record.severity_text.is_empty() {
        return &record.severity_text;
    }
    match record.severity {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "",
    }
}

/// Returns the name of the event, or the body of a record that has none.
#[must_use]
pub fn title(record: &LogRecord) -> String {
    let title = if record.event_name.is_empty() { body(record) } else { record.event_name.clone() };
    if title.is_empty() { "(no message)".to_owned() } else { title }
}

/// Formats the body of a record as text; empty if it has none.
#[must_use]
pub fn body(record: &LogRecord) -> String {
    match &record.body {
        // JSON keeps the types of the elements visible.
        AttributeValue::Array(_) | AttributeValue::Map(_) => {
            // infallible: a `serde_json::Value` has only strings as keys.
            serde_json::to_string_pretty(&json(&record.body)).unwrap_or_default()
        }
        value => find::text(value),
    }
}

fn json(value: &AttributeValue) -> serde_json::Value {
    match value {
        AttributeValue::String(text) | AttributeValue::Bytes(text) => text.clone().into(),
        AttributeValue::Bool(truth) => (*truth).into(),
        AttributeValue::Int(number) => (*number).into(),
        // JSON has no NaN or infinity: those become text.
        AttributeValue::Double(number) => {
            serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Into::into)
        }
        AttributeValue::Array(values) => values.iter().map(json).collect(),
        AttributeValue::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect(),
        AttributeValue::Empty => serde_json::Value::Null,
    }
}

/// Returns whether `needle` occurs in a record's name, body, severity, service, or attributes. `needle` must be lower
/// case.
#[must_use]
pub fn matches(record: &LogRecord, needle: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(needle);
    has(&record.event_name)
        || has(severity_words(record))
        || has(&record.service)
        || has(&body(record))
        || any_attribute_matches(record, needle)
}

/// Returns whether `needle` occurs in one of a record's attributes. `needle` must be lower case.
#[must_use]
pub fn any_attribute_matches(record: &LogRecord, needle: &str) -> bool {
    record.attributes.iter().any(|attribute| find::attribute_matches(attribute, needle))
}

/// Returns the time of a record, in Unix nanoseconds.
#[must_use]
pub fn time(record: &LogRecord, clock: Clock) -> i64 {
    let align = match clock {
        Clock::Raw => 0,
        Clock::Aligned => record.align_ns,
    };
    i64::try_from(record.time_ns).unwrap_or(i64::MAX).saturating_add(align)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Model, tests::span};
    use throughline_inspector_api::{Attribute, Trace};

    pub(crate) fn record(span_id: Option<&str>, event_name: &str) -> LogRecord {
        LogRecord {
            time_ns: 5,
            align_ns: 0,
            span_id: span_id.map(Into::into),
            service: "web".into(),
            severity: 0,
            severity_text: String::new(),
            event_name: event_name.into(),
            body: AttributeValue::Empty,
            attributes: Vec::new(),
        }
    }

    fn names<'a>(records: impl Iterator<Item = &'a LogRecord>) -> Vec<&'a str> {
        records.map(|record| record.event_name.as_str()).collect()
    }

    #[test]
    fn records_are_shown_with_their_span_and_the_rest_with_the_root() {
        let spans = vec![span("x", Some("gone"), 0, 9), span("a", None, 1, 9), span("b", Some("a"), 2, 1)];
        let logs = vec![
            record(Some("b"), "one"),
            record(None, "two"),
            record(Some("gone"), "three"),
            record(Some("a"), "four"),
            record(Some("b"), "five"),
        ];
        let model = Model::new(Trace { trace_id: "t".into(), spans, logs });
        assert_eq!(names(model.logs.tied(2)), ["one", "five"]);
        assert_eq!(names(model.logs.tied(1)), ["four"]);
        assert_eq!(names(model.logs.untied(1)), ["two", "three"], "the root has no parent");
        assert_eq!((names(model.logs.untied(0)), model.logs.mark(0)), (vec![], None));
        assert_eq!(model.logs.mark(1), Some(Mark { count: 3, errors: 0 }));
        assert_eq!(model.logs.mark(7), None);
    }

    #[test]
    fn an_error_is_an_exception_or_severe() {
        let mut log = record(None, "browser.web_vital");
        for (severity, bad) in [(0, false), (16, false), (17, true), (24, true)] {
            log.severity = severity;
            assert_eq!(is_error(&log), bad, "{severity}");
        }
        assert!(is_error(&record(None, "exception")));
    }

    #[test]
    fn marks_format_counts_of_records_and_errors() {
        for (count, errors, words) in [
            (1, 0, "1 log record"),
            (1, 1, "1 log record, an error"),
            (3, 1, "3 log records, 1 of them an error"),
            (3, 2, "3 log records, 2 of them errors"),
            (2, 2, "2 log records, all errors"),
        ] {
            assert_eq!(Mark { count, errors }.words(), words);
        }
    }

    #[test]
    fn titles_severities_and_bodies_are_formatted() {
        let mut log = record(None, "");
        assert_eq!((title(&log).as_str(), severity_words(&log)), ("(no message)", ""));
        log.body = AttributeValue::String("disk full".into());
        log.severity = 14;
        assert_eq!((title(&log).as_str(), severity_words(&log)), ("disk full", "warn"));
        log.event_name = "disk".into();
        log.severity_text = "WARNING".into();
        assert_eq!((title(&log).as_str(), severity_words(&log)), ("disk", "WARNING"));
        log.body = AttributeValue::Map(vec![
            Attribute { key: "a".into(), value: AttributeValue::String("1".into()) },
            Attribute {
                key: "b".into(),
                value: AttributeValue::Array(vec![AttributeValue::Int(1), AttributeValue::Empty]),
            },
            Attribute { key: "c".into(), value: AttributeValue::Double(f64::NAN) },
        ]);
        let shown: serde_json::Value = serde_json::from_str(&body(&log)).unwrap();
        assert_eq!(shown, serde_json::json!({"a": "1", "b": [1, null], "c": "NaN"}));
    }

    #[test]
    fn all_texts_of_a_record_are_searched() {
        let mut log = record(None, "Exception");
        log.severity = 17;
        log.body = AttributeValue::String("Index out of bounds".into());
        log.attributes.push(Attribute { key: "exception.type".into(), value: AttributeValue::String("Panic".into()) });
        for needle in ["exception", "error", "out of", "type", "panic", "web"] {
            assert!(matches(&log, needle), "{needle}");
        }
        assert!(!matches(&log, "else"));
        assert!(any_attribute_matches(&log, "panic") && !any_attribute_matches(&log, "bounds"));
    }

    #[test]
    fn times_are_in_the_requested_clock() {
        let mut log = record(None, "a");
        (log.time_ns, log.align_ns) = (1_000, -400);
        assert_eq!((time(&log, Clock::Raw), time(&log, Clock::Aligned)), (1_000, 600));
        log.time_ns = u64::MAX;
        assert_eq!(time(&log, Clock::Raw), i64::MAX);
    }
}
