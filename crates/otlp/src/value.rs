//! Attribute values.

/// How deep a value may nest: a scalar is 1, an array of scalars 2.
///
/// Chosen so that whatever is taken in one encoding can be read again in the other, within the recursion limits
/// of prost (100) and `serde_json` (128).
pub const MAX_VALUE_DEPTH: usize = 24;

/// `AnyValue` of `opentelemetry/proto/common/v1/common.proto`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// No value at all; valid, and not the same as an empty string.
    #[default]
    Empty,
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number; NaN and the infinities too.
    Double(f64),
    /// Bytes, in JSON as base64.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// Keys and values, in the sender's order.
    Map(Vec<KeyValue>),
}

impl Value {
    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, whole or floating-point; a whole number beyond 2⁵³ is rounded.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// Whether it nests deeper than [`MAX_VALUE_DEPTH`].
    pub(crate) fn is_too_deep(&self) -> bool {
        deeper_than(self, MAX_VALUE_DEPTH)
    }
}

fn deeper_than(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Array(values) => values.iter().any(|value| deeper_than(value, below)),
        Value::Map(entries) => entries.iter().any(|entry| deeper_than(&entry.value, below)),
        _ => false,
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<Vec<Self>> for Value {
    fn from(values: Vec<Self>) -> Self {
        Self::Array(values)
    }
}

/// An attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyValue {
    /// Its name, such as `http.route`.
    pub key: String,
    /// What it says.
    pub value: Value,
}

impl KeyValue {
    /// An attribute with this key and value.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// The first attribute with that key.
pub(crate) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

/// Whether any of them nests deeper than [`MAX_VALUE_DEPTH`].
pub(crate) fn any_too_deep(attributes: &[KeyValue]) -> bool {
    attributes.iter().any(|attribute| attribute.value.is_too_deep())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_from_one() {
        let mut value = Value::Int(1);
        for _ in 1..MAX_VALUE_DEPTH {
            assert!(!value.is_too_deep());
            value = Value::Array(vec![value]);
        }
        assert!(!value.is_too_deep());
        assert!(Value::Map(vec![KeyValue::new("k", value.clone())]).is_too_deep());
        assert!(Value::Array(vec![value]).is_too_deep());
    }
}
