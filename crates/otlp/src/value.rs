//! Attribute values.

/// The maximum nesting depth of a value: a scalar has depth 1, an array of scalars depth 2.
///
/// It is chosen so that a value decoded from one encoding can be decoded from the other as well, within the recursion
/// limits of prost (100) and `serde_json` (128).
pub const MAX_VALUE_DEPTH: usize = 24;

/// The value of an attribute: `AnyValue` of `opentelemetry/proto/common/v1/common.proto`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// No value; valid, and different from an empty string.
    #[default]
    Empty,
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number, including NaN and the infinities.
    Double(f64),
    /// Bytes, which are base64 in JSON.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// Keys and values, in the sender's order.
    Map(Vec<KeyValue>),
}

impl Value {
    /// Returns the text, if the value is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the boolean, if the value is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Returns the integer, if the value is one.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the number, if the value is an integer or a float; an integer above 2⁵³ is rounded.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// Returns whether the value nests deeper than [`MAX_VALUE_DEPTH`].
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
    /// The key, such as `http.route`.
    pub key: String,
    /// The value.
    pub value: Value,
}

impl KeyValue {
    /// Creates an attribute with this key and value.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Returns the value of the first attribute with this key.
pub(crate) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

/// Returns whether any attribute nests deeper than [`MAX_VALUE_DEPTH`].
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
