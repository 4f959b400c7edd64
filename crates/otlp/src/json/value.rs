//! `AnyValue` in JSON: an object with one field that names the type.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::number::{Float, Whole, nullable};
use crate::{KeyValue, Value};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A deserialized value.
#[derive(Default)]
pub(crate) struct ValueIn(Value);

impl ValueIn {
    /// Returns the value of the model.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }
}

/// A deserialized attribute.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyValueIn {
    #[serde(deserialize_with = "nullable")]
    key: String,
    #[serde(deserialize_with = "nullable")]
    value: ValueIn,
}

/// `ArrayValue` or `KeyValueList`.
#[derive(Deserialize)]
#[serde(default, bound = "T: Deserialize<'de>")]
struct ListIn<T> {
    #[serde(deserialize_with = "nullable")]
    values: Vec<T>,
}

impl<T> Default for ListIn<T> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

/// Converts deserialized attributes to those of the model.
pub(crate) fn attributes(attributes: Vec<KeyValueIn>) -> Vec<KeyValue> {
    attributes.into_iter().map(|attribute| KeyValue { key: attribute.key, value: attribute.value.0 }).collect()
}

// The recursion is bounded: serde_json has a limit of 128 levels.
impl<'de> Deserialize<'de> for ValueIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValueVisitor).map(ValueIn)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AnyValue object")
    }

    // As in protobuf, the last of several fields wins. `null` means absent.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut value = Value::Empty;
        while let Some(field) = map.next_key::<Field>()? {
            let read = match field {
                Field::String => map.next_value::<Option<String>>()?.map(Value::String),
                Field::Bool => map.next_value::<Option<bool>>()?.map(Value::Bool),
                Field::Int => map.next_value::<Option<Whole<i64>>>()?.map(|number| Value::Int(number.0)),
                Field::Double => map.next_value::<Option<Float>>()?.map(|number| Value::Double(number.0)),
                Field::Bytes => map.next_value::<Option<String>>()?.map(|text| bytes(&text)).transpose()?,
                Field::Array => map
                    .next_value::<Option<ListIn<ValueIn>>>()?
                    .map(|list| Value::Array(list.values.into_iter().map(|v| v.0).collect())),
                Field::Map => {
                    map.next_value::<Option<ListIn<KeyValueIn>>>()?.map(|list| Value::Map(attributes(list.values)))
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    None
                }
            };
            if let Some(read) = read {
                value = read;
            }
        }
        Ok(value)
    }
}

#[derive(Deserialize)]
enum Field {
    #[serde(rename = "stringValue")]
    String,
    #[serde(rename = "boolValue")]
    Bool,
    #[serde(rename = "intValue")]
    Int,
    #[serde(rename = "doubleValue")]
    Double,
    #[serde(rename = "bytesValue")]
    Bytes,
    #[serde(rename = "arrayValue")]
    Array,
    #[serde(rename = "kvlistValue")]
    Map,
    #[serde(other)]
    Other,
}

/// Decodes base64 as ProtoJSON allows it: in either alphabet, with or without padding.
fn bytes<E: de::Error>(text: &str) -> Result<Value, E> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map(Value::Bytes)
        .map_err(|_| E::custom("bytesValue is not base64"))
}

/// A value to serialize.
pub(crate) struct ValueOut<'a>(pub(crate) &'a Value);

/// An attribute to serialize.
#[derive(Serialize)]
pub(crate) struct KeyValueOut<'a> {
    key: &'a str,
    value: ValueOut<'a>,
}

#[derive(Serialize)]
struct ListOut<T> {
    values: Vec<T>,
}

/// Converts attributes of the model to serializable ones.
pub(crate) fn attributes_out(attributes: &[KeyValue]) -> Vec<KeyValueOut<'_>> {
    attributes.iter().map(|attribute| KeyValueOut { key: &attribute.key, value: ValueOut(&attribute.value) }).collect()
}

impl Serialize for ValueOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Value::Empty => {}
            Value::String(text) => map.serialize_entry("stringValue", text)?,
            Value::Bool(truth) => map.serialize_entry("boolValue", truth)?,
            Value::Int(number) => map.serialize_entry("intValue", &number.to_string())?,
            Value::Double(number) => map.serialize_entry("doubleValue", &FloatOut(*number))?,
            Value::Bytes(bytes) => map.serialize_entry("bytesValue", &STANDARD.encode(bytes))?,
            Value::Array(values) => {
                map.serialize_entry("arrayValue", &ListOut { values: values.iter().map(ValueOut).collect() })?;
            }
            Value::Map(entries) => map.serialize_entry("kvlistValue", &ListOut { values: attributes_out(entries) })?,
        }
        map.end()
    }
}

/// A floating-point number to serialize.
#[derive(Clone, Copy)]
pub(crate) struct FloatOut(pub(crate) f64);

impl Serialize for FloatOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f64(self.0) } else { serializer.serialize_str(special(self.0)) }
    }
}

/// Returns the name in ProtoJSON of a number that JSON cannot represent.
fn special(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
