//! Limits on the size of a browser's span or log record.

use crate::config::SpanLimits;
use throughline_otlp::{KeyValue, LogRecord, Scope, Span, Value};

/// Counts of the changes made to browser records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Attributes that were left out; the record counts them too.
    pub(crate) attributes: u64,
    /// Values that were truncated.
    pub(crate) values: u64,
    /// Values that held a secret.
    pub(crate) redacted: u64,
    /// Records whose times differ too much from the time of reception.
    pub(crate) clock_skewed: u64,
}

impl SpanLimits {
    /// Applies the limits to a span, except to its resource and scope, which are shared and limited separately.
    pub(crate) fn span(&self, span: &mut Span, cut: &mut Cut) {
        self.text(&mut span.name, self.name_bytes, cut);
        self.text(&mut span.status.message, self.value_bytes, cut);
        drop_if_long(&mut span.trace_state, cut);
        self.attributes(&mut span.attributes, &mut span.dropped_attributes_count, cut);
        truncate(&mut span.events, self.events, &mut span.dropped_events_count);
        for event in &mut span.events {
            self.text(&mut event.name, self.name_bytes, cut);
            self.attributes(&mut event.attributes, &mut event.dropped_attributes_count, cut);
        }
        truncate(&mut span.links, self.links, &mut span.dropped_links_count);
        for link in &mut span.links {
            drop_if_long(&mut link.trace_state, cut);
            self.attributes(&mut link.attributes, &mut link.dropped_attributes_count, cut);
        }
    }

    /// Applies the limits to a log record, except to its resource and scope.
    pub(crate) fn log_record(&self, record: &mut LogRecord, cut: &mut Cut) {
        self.text(&mut record.event_name, self.name_bytes, cut);
        self.text(&mut record.severity_text, self.name_bytes, cut);
        self.value(&mut record.body, cut);
        self.attributes(&mut record.attributes, &mut record.dropped_attributes_count, cut);
    }

    /// Applies the limits to a scope.
    pub(crate) fn scope(&self, scope: &mut Scope, cut: &mut Cut) {
        self.text(&mut scope.name, self.name_bytes, cut);
        self.text(&mut scope.version, self.name_bytes, cut);
        drop_if_long(&mut scope.schema_url, cut);
        self.attributes(&mut scope.attributes, &mut scope.dropped_attributes_count, cut);
    }

    /// Removes attributes above the limits, and truncates the values of the others.
    pub(crate) fn attributes(&self, attributes: &mut Vec<KeyValue>, dropped: &mut u32, cut: &mut Cut) {
        let before = attributes.len();
        attributes.retain(|attribute| attribute.key.len() <= self.key_bytes);
        attributes.truncate(self.attributes);
        let left_out = before - attributes.len();
        *dropped = dropped.saturating_add(u32::try_from(left_out).unwrap_or(u32::MAX));
        cut.attributes += left_out as u64;
        for attribute in attributes {
            self.value(&mut attribute.value, cut);
        }
    }

    /// Applies the limits to a value. The recursion is bounded by [`throughline_otlp::MAX_VALUE_DEPTH`].
    fn value(&self, value: &mut Value, cut: &mut Cut) {
        match value {
            Value::String(text) => self.text(text, self.value_bytes, cut),
            Value::Bytes(bytes) => {
                if bytes.len() > self.value_bytes {
                    bytes.truncate(self.value_bytes);
                    cut.values += 1;
                }
            }
            Value::Array(values) => {
                if values.len() > self.items {
                    values.truncate(self.items);
                    cut.values += 1;
                }
                for value in values {
                    self.value(value, cut);
                }
            }
            Value::Map(entries) => {
                let before = entries.len();
                entries.retain(|entry| entry.key.len() <= self.key_bytes);
                entries.truncate(self.items);
                if entries.len() < before {
                    cut.values += 1;
                }
                for entry in entries {
                    self.value(&mut entry.value, cut);
                }
            }
            Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) => {}
        }
    }

    #[expect(clippy::unused_self, reason = "consistent with the other methods")]
    fn text(&self, text: &mut String, limit: usize, cut: &mut Cut) {
        if text.len() > limit {
            text.truncate(text.floor_char_boundary(limit));
            cut.values += 1;
        }
    }
}

/// Clears a text of more than 512 bytes, the maximum of a `tracestate` (W3C Trace Context, section 3.3.1.5), since a
/// truncated one is useless.
fn drop_if_long(text: &mut String, cut: &mut Cut) {
    const MAX_BYTES: usize = 512;
    if text.len() > MAX_BYTES {
        text.clear();
        cut.values += 1;
    }
}

fn truncate<T>(items: &mut Vec<T>, limit: usize, dropped: &mut u32) {
    let left_out = items.len().saturating_sub(limit);
    items.truncate(limit);
    *dropped = dropped.saturating_add(u32::try_from(left_out).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use throughline_context::{SpanId, TraceId};

    const LIMITS: SpanLimits =
        SpanLimits { attributes: 3, key_bytes: 8, value_bytes: 10, items: 2, name_bytes: 6, events: 1, links: 1 };

    fn span() -> Span {
        let trace_id = TraceId::from_bytes([1; 16]).unwrap();
        let span_id = SpanId::from_bytes([1; 8]).unwrap();
        Span::new(trace_id, span_id, Arc::default(), Arc::default())
    }

    #[test]
    fn too_many_attributes_and_long_keys_are_left_out_and_counted() {
        let mut span = span();
        span.attributes = (0..5).map(|number| KeyValue::new(format!("k{number}"), number)).collect();
        span.attributes.insert(0, KeyValue::new("much-too-long", 1));
        span.dropped_attributes_count = 2;
        let mut cut = Cut::default();
        LIMITS.span(&mut span, &mut cut);
        let keys: Vec<_> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys, ["k0", "k1", "k2"]);
        assert_eq!(span.dropped_attributes_count, 5);
        assert_eq!(cut, Cut { attributes: 3, ..Cut::default() });
    }

    #[test]
    fn a_span_within_the_limits_is_unchanged() {
        let mut span = span();
        span.name = "GET /a".to_owned();
        span.attributes = vec![KeyValue::new("k", "0123456789")];
        let before = span.clone();
        let mut cut = Cut::default();
        LIMITS.span(&mut span, &mut cut);
        assert_eq!((span, cut), (before, Cut::default()));
    }

    #[test]
    fn text_is_truncated_at_a_character_boundary() {
        let mut span = span();
        span.attributes = vec![KeyValue::new("k", "012345678é")];
        let mut cut = Cut::default();
        LIMITS.span(&mut span, &mut cut);
        assert_eq!(span.attribute("k"), Some(&Value::from("012345678")));
        assert_eq!(cut.values, 1);
    }

    #[test]
    fn events_and_their_names_are_limited() {
        let mut span = span();
        span.events = vec![throughline_otlp::Event { name: "e".repeat(9), ..Default::default() }; 4];
        let mut cut = Cut::default();
        LIMITS.span(&mut span, &mut cut);
        assert_eq!((span.events.len(), span.dropped_events_count), (1, 3));
        assert_eq!(span.events[0].name, "eeeeee");
    }

    #[test]
    fn log_records_are_limited() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        record.event_name = "exception".to_owned();
        record.severity_text = "terrible".to_owned();
        record.body = Value::Array(vec![Value::from("0123456789a"), Value::Int(1), Value::Int(2)]);
        record.attributes = (0..5).map(|number| KeyValue::new(format!("k{number}"), number)).collect();
        let mut cut = Cut::default();
        LIMITS.log_record(&mut record, &mut cut);
        assert_eq!((record.event_name.as_str(), record.severity_text.as_str()), ("except", "terrib"));
        assert_eq!(record.body, Value::Array(vec![Value::from("0123456789"), Value::Int(1)]));
        assert_eq!((record.attributes.len(), record.dropped_attributes_count), (3, 2));
        assert_eq!(cut, Cut { attributes: 2, values: 4, ..Cut::default() });
    }

    fn fits(value: &Value) -> bool {
        match value {
            Value::String(text) => text.len() <= LIMITS.value_bytes,
            Value::Bytes(bytes) => bytes.len() <= LIMITS.value_bytes,
            Value::Array(values) => values.len() <= LIMITS.items && values.iter().all(fits),
            Value::Map(entries) => {
                entries.len() <= LIMITS.items
                    && entries.iter().all(|entry| entry.key.len() <= LIMITS.key_bytes && fits(&entry.value))
            }
            _ => true,
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "\\PC{0,20}".prop_map(Value::String),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
            any::<i64>().prop_map(Value::Int),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec(("[a-z]{0,12}", inner), 0..5).prop_map(|entries| {
                    Value::Map(entries.into_iter().map(|(key, value)| KeyValue { key, value }).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_fits_afterwards(value in value()) {
            let mut span = span();
            span.attributes = vec![KeyValue { key: "k".to_owned(), value: value.clone() }];
            let mut cut = Cut::default();
            LIMITS.span(&mut span, &mut cut);
            prop_assert!(fits(&span.attributes[0].value));
            prop_assert_eq!(cut.values == 0, span.attributes[0].value == value);
        }
    }
}
