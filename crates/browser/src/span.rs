//! What a finished span is, before it is encoded.

use std::borrow::Cow;

use throughline_context::{SpanId, TraceFlags, TraceId};

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Str(Cow<'static, str>),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Truth.
    Bool(bool),
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Str(Cow::Borrowed(value))
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(Cow::Owned(value))
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Attributes in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub(crate) Vec<(Cow<'static, str>, Value)>);

impl Attributes {
    /// At most so many attributes on one span; the rest is dropped.
    pub const LIMIT: usize = 128;

    /// Sets `key`, in place of an earlier value.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let key = key.into();
        let value = value.into();
        if let Some(slot) = self.0.iter_mut().find(|(known, _)| *known == key) {
            slot.1 = value;
        } else if self.0.len() < Self::LIMIT {
            self.0.push((key, value));
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

/// Which end of a request a span is, with OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal = 1,
    Client = 3,
}

/// Something that happened within a span.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventData {
    pub(crate) time_ns: i64,
    pub(crate) name: &'static str,
}

/// A span's identity, as it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// Sampled, random.
    pub flags: TraceFlags,
}

/// A span with both ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpanData {
    pub(crate) context: SpanContext,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) attributes: Attributes,
    pub(crate) events: Vec<EventData>,
    /// Whether its status is Error; the reason stands in `error.type`.
    pub(crate) error: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_once_and_the_number_of_keys_is_bounded() {
        let mut attributes = Attributes::default();
        attributes.set("a", 1_i64);
        attributes.set("a", 2_i64);
        assert_eq!(attributes.0.len(), 1);
        assert_eq!(attributes.get("a"), Some(&Value::Int(2)));
        for n in 0..1000 {
            attributes.set(format!("k{n}"), true);
        }
        assert_eq!(attributes.0.len(), Attributes::LIMIT);
    }
}
