//! Attributes, stored in their OTLP encoding.

use std::borrow::Cow;

use crate::protobuf;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Str(Cow<'static, str>),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit floating point number.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// A list of strings.
    Strs(Vec<String>),
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
impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::Strs(value)
    }
}

/// Attributes in the order in which they were set, with unique keys.
///
/// They are stored encoded: a waiting span needs no more memory than its bytes, and a flush while the page is closing
/// only copies them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The `KeyValue` messages, each preceded by its length.
    bytes: Vec<u8>,
    count: usize,
    dropped: u32,
}

const KEY: u32 = 1;
const VALUE: u32 = 2;
/// The tag of `KeyValue.key`.
const KEY_TAG: u8 = (KEY << 3 | 2) as u8;
/// The fields of `AnyValue`.
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;
const VALUE_TAG: u8 = (VALUE << 3 | 2) as u8;
const STRING_TAG: u8 = (STRING << 3 | 2) as u8;
const INT_TAG: u8 = (INT << 3) as u8;

impl Attributes {
    /// The maximum number of attributes of a span, event or resource; more are dropped and counted.
    pub const LIMIT: usize = 128;
    /// The maximum length of a key in bytes; an attribute with a longer key is dropped and counted.
    pub const KEY_LIMIT_BYTES: usize = 256;
    /// The maximum length of a string in bytes; a longer one is cut at a character boundary.
    pub const VALUE_LIMIT_BYTES: usize = 4_096;
    /// The maximum number of items of a list; a longer one is cut.
    pub const ITEMS_LIMIT: usize = 128;

    /// Sets `key`, replacing an earlier value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.remove(key);
        self.put(key, &value.into());
    }

    /// Adds a key that is not present yet.
    pub(crate) fn put(&mut self, key: &str, value: &Value) {
        match value {
            Value::Str(text) => self.text(key, text),
            Value::Int(number) => self.int(key, *number),
            Value::Double(number) => self.double(key, *number),
            Value::Bool(truth) => self.bool(key, *truth),
            Value::Strs(texts) => self.texts(key, &mut texts.iter().cloned()),
        }
    }

    /// Adds a key that is not present yet, with a string.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        if let Some(marks) = self.begin(key) {
            string(&mut self.bytes, text);
            self.end(marks);
        }
    }

    /// Adds a key that is not present yet, if `text` is `Some`.
    pub(crate) fn text_opt(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// Adds a key that is not present yet, with an integer.
    pub(crate) fn int(&mut self, key: &str, number: i64) {
        if let Some(marks) = self.begin(key) {
            protobuf::varint_field(&mut self.bytes, INT, number.cast_unsigned());
            self.end(marks);
        }
    }

    /// Adds a key that is not present yet, with a double.
    pub(crate) fn double(&mut self, key: &str, number: f64) {
        if let Some(marks) = self.begin(key) {
            protobuf::fixed64(&mut self.bytes, DOUBLE, number.to_bits());
            self.end(marks);
        }
    }

    /// Adds a key that is not present yet, with a boolean.
    pub(crate) fn bool(&mut self, key: &str, truth: bool) {
        if let Some(marks) = self.begin(key) {
            protobuf::varint_field(&mut self.bytes, BOOL, u64::from(truth));
            self.end(marks);
        }
    }

    /// Adds a key that is not present yet, with a list of strings.
    pub(crate) fn texts(&mut self, key: &str, texts: &mut dyn Iterator<Item = String>) {
        if let Some(marks) = self.begin(key) {
            let out = &mut self.bytes;
            let list = protobuf::open(out, ARRAY);
            for text in texts.take(Self::ITEMS_LIMIT) {
                let item = protobuf::open(out, 1);
                string(out, &text);
                protobuf::close(out, item);
            }
            protobuf::close(out, list);
            self.end(marks);
        }
    }

    /// Begins an entry and its value; `None` if a limit is reached.
    fn begin(&mut self, key: &str) -> Option<(usize, usize)> {
        if self.count >= Self::LIMIT || key.len() > Self::KEY_LIMIT_BYTES {
            self.dropped += 1;
            return None;
        }
        self.count += 1;
        // Reserved for the length.
        self.bytes.push(0);
        let entry = self.bytes.len();
        protobuf::bytes(&mut self.bytes, KEY, key.as_bytes());
        Some((entry, protobuf::open(&mut self.bytes, VALUE)))
    }

    fn end(&mut self, (entry, value): (usize, usize)) {
        protobuf::close(&mut self.bytes, value);
        protobuf::close(&mut self.bytes, entry);
    }

    /// Adds the attributes of `others` whose keys are not present.
    pub(crate) fn extend(&mut self, others: &Self) {
        for entry in others.entries() {
            let key = key_of(entry);
            if self.count >= Self::LIMIT {
                self.dropped += 1;
            } else if !self.entries().any(|known| key_of(known) == key) {
                self.append(entry);
            }
        }
    }

    /// Removes `key`.
    pub(crate) fn remove(&mut self, key: &str) {
        if self.has(key) {
            let mut kept = Self { dropped: self.dropped, ..Self::default() };
            for entry in self.entries() {
                if key_of(entry) != Some(key.as_bytes()) {
                    kept.append(entry);
                }
            }
            *self = kept;
        }
    }

    fn append(&mut self, entry: &[u8]) {
        self.count += 1;
        protobuf::varint(&mut self.bytes, entry.len() as u64);
        self.bytes.extend_from_slice(entry);
    }

    fn has(&self, key: &str) -> bool {
        self.entries().any(|entry| key_of(entry) == Some(key.as_bytes()))
    }

    /// Returns the value of `key`, if it is a string.
    pub(crate) fn get_text(&self, key: &str) -> Option<String> {
        let value = self.value(key)?.strip_prefix(&[STRING_TAG])?;
        let (length, text) = protobuf::read_varint(value)?;
        String::from_utf8(text.get(..length)?.to_vec()).ok()
    }

    /// Returns the value of `key`, if it is an integer below 2^28 and not negative.
    pub(crate) fn get_int(&self, key: &str) -> Option<usize> {
        let (number, _) = protobuf::read_varint(self.value(key)?.strip_prefix(&[INT_TAG])?)?;
        Some(number)
    }

    /// Returns the encoded `AnyValue` of `key`.
    fn value(&self, key: &str) -> Option<&[u8]> {
        let entry = self.entries().find(|entry| key_of(entry) == Some(key.as_bytes()))?;
        let after_key = entry.get(protobuf::framed_len(key.len())..)?;
        let (length, value) = protobuf::read_varint(after_key.strip_prefix(&[VALUE_TAG])?)?;
        value.get(..length)
    }

    /// Writes each attribute as `field` of a message, and the number of dropped ones as `dropped_field`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, field: u32, dropped_field: u32) {
        for entry in self.entries() {
            protobuf::bytes(out, field, entry);
        }
        if self.dropped > 0 {
            protobuf::varint_field(out, dropped_field, u64::from(self.dropped));
        }
    }

    fn entries(&self) -> Entries<'_> {
        Entries(&self.bytes)
    }
}

/// An iterator over the encoded `KeyValue` messages.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = protobuf::read_varint(self.0)?;
        let (entry, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(entry)
    }
}

fn key_of(entry: &[u8]) -> Option<&[u8]> {
    let (length, rest) = protobuf::read_varint(entry.strip_prefix(&[KEY_TAG])?)?;
    rest.get(..length)
}

/// Writes `text` as an `AnyValue`, cut to the limit.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(Attributes::VALUE_LIMIT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    protobuf::bytes(out, STRING, text.as_bytes().get(..end).unwrap_or(&[]));
}

// The crates used for comparison do not build for the browser.
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    pub(crate) fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,300}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            prop::collection::vec(".{0,20}", 0..5).prop_map(Value::from),
        ]
    }

    /// Generates pairs with distinct keys, and the attributes set from them.
    pub(crate) fn attributes() -> impl Strategy<Value = (Vec<(String, Value)>, Attributes)> {
        prop::collection::vec((".{0,40}", value()), 0..12).prop_map(|mut pairs| {
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            pairs.dedup_by(|(a, _), (b, _)| a == b);
            let mut attributes = Attributes::default();
            for (key, value) in &pairs {
                attributes.set(key, value.clone());
            }
            (pairs, attributes)
        })
    }

    fn same_value(sent: &Value, got: Option<&AnyValue>) {
        let got = got.and_then(|value| value.value.as_ref());
        match (sent, got) {
            (Value::Str(a), Some(any_value::Value::StringValue(b))) => assert_eq!(a.as_ref(), b),
            (Value::Int(a), Some(any_value::Value::IntValue(b))) => assert_eq!(a, b),
            (Value::Double(a), Some(any_value::Value::DoubleValue(b))) => assert_eq!(a, b),
            (Value::Bool(a), Some(any_value::Value::BoolValue(b))) => assert_eq!(a, b),
            (Value::Strs(a), Some(any_value::Value::ArrayValue(b))) => {
                assert_eq!(a.len(), b.values.len());
                for (a, b) in a.iter().zip(&b.values) {
                    same_value(&Value::from(a.clone()), Some(b));
                }
            }
            (sent, got) => panic!("sent {sent:?}, got {got:?}"),
        }
    }

    pub(crate) fn same(sent: &[(String, Value)], received: &[KeyValue]) {
        assert_eq!(sent.len(), received.len());
        for ((key, value), got) in sent.iter().zip(received) {
            assert_eq!(*key, got.key);
            same_value(value, got.value.as_ref());
        }
    }

    pub(crate) fn decode(attributes: &Attributes) -> Vec<KeyValue> {
        attributes.entries().map(|entry| KeyValue::decode(entry).unwrap()).collect()
    }

    #[test]
    fn keys_are_unique_and_their_number_is_bounded() {
        let mut attributes = Attributes::default();
        attributes.set("a", 1_i64);
        attributes.set("b", 3_i64);
        attributes.set("a", 2_i64);
        same(&[("b".into(), Value::Int(3)), ("a".into(), Value::Int(2))], &decode(&attributes));
        for n in 0..1000 {
            attributes.set(&format!("k{n}"), true);
        }
        assert_eq!(decode(&attributes).len(), Attributes::LIMIT);
        assert_eq!(attributes.dropped, 1002 - Attributes::LIMIT as u32);
        attributes.set(&"k".repeat(Attributes::KEY_LIMIT_BYTES + 1), true);
        assert_eq!(attributes.dropped, 1003 - Attributes::LIMIT as u32);
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let mut attributes = Attributes::default();
        attributes.set("k", format!("{}é", "x".repeat(Attributes::VALUE_LIMIT_BYTES - 1)));
        same(&[("k".into(), "x".repeat(Attributes::VALUE_LIMIT_BYTES - 1).into())], &decode(&attributes));
    }

    #[test]
    fn extend_appends_and_does_not_replace() {
        let (mut attributes, mut others) = (Attributes::default(), Attributes::default());
        attributes.set("a", 1_i64);
        others.set("a", 2_i64);
        others.set("b", 3_i64);
        attributes.extend(&others);
        same(&[("a".into(), Value::Int(1)), ("b".into(), Value::Int(3))], &decode(&attributes));
    }

    proptest! {
        #[test]
        fn attributes_decode_to_the_values_set((pairs, attributes) in attributes()) {
            same(&pairs, &decode(&attributes));
        }

        #[test]
        fn values_can_be_read_back((pairs, attributes) in attributes()) {
            for (key, value) in &pairs {
                match value {
                    Value::Str(text) => prop_assert_eq!(attributes.get_text(key), Some(text.to_string())),
                    Value::Int(number) if (0..1 << 27).contains(number) => {
                        prop_assert_eq!(attributes.get_int(key), usize::try_from(*number).ok());
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(attributes.get_text("no such key that is longer than forty characters, all in all"), None);
        }

        #[test]
        fn a_removed_key_is_absent((pairs, attributes) in attributes(), index: prop::sample::Index) {
            let mut attributes = attributes;
            let mut left = pairs;
            if !left.is_empty() {
                let (key, _) = left.remove(index.index(left.len()));
                attributes.remove(&key);
            }
            same(&left, &decode(&attributes));
        }
    }
}
