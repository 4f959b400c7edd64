//! Attributes, kept as the bytes in which they will be sent.

use std::borrow::Cow;

use crate::protobuf;

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
    /// Several texts.
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

/// Attributes in the order in which they were set, each key once.
///
/// They are kept encoded: a span that waits takes the memory of its bytes, and a flush while the page goes away has nothing
/// left to do but to copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// One `KeyValue` after the other, each behind its length.
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
    /// At most so many attributes on one span, event or resource; what is beyond is dropped and counted.
    pub const LIMIT: usize = 128;
    /// A longer key is dropped and counted, bytes.
    pub const KEY_LIMIT_BYTES: usize = 256;
    /// A longer text is cut at a character's boundary, bytes.
    pub const VALUE_LIMIT_BYTES: usize = 4_096;
    /// A longer list is cut.
    pub const ITEMS_LIMIT: usize = 128;

    /// Sets `key`, in place of an earlier value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.remove(key);
        self.put(key, &value.into());
    }

    /// Sets a key that is not there yet.
    pub(crate) fn put(&mut self, key: &str, value: &Value) {
        match value {
            Value::Str(text) => self.text(key, text),
            Value::Int(number) => self.int(key, *number),
            Value::Double(number) => self.double(key, *number),
            Value::Bool(truth) => self.bool(key, *truth),
            Value::Strs(texts) => self.texts(key, &mut texts.iter().cloned()),
        }
    }

    /// A key that is not there yet, with a text.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        if let Some(marks) = self.begin(key) {
            string(&mut self.bytes, text);
            self.end(marks);
        }
    }

    /// A key that is not there yet, with a text if there is one.
    pub(crate) fn maybe(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// A key that is not there yet, with a whole number.
    pub(crate) fn int(&mut self, key: &str, number: i64) {
        if let Some(marks) = self.begin(key) {
            protobuf::varint_field(&mut self.bytes, INT, number.cast_unsigned());
            self.end(marks);
        }
    }

    /// A key that is not there yet, with a double.
    pub(crate) fn double(&mut self, key: &str, number: f64) {
        if let Some(marks) = self.begin(key) {
            protobuf::fixed64(&mut self.bytes, DOUBLE, number.to_bits());
            self.end(marks);
        }
    }

    /// A key that is not there yet, with a truth.
    pub(crate) fn bool(&mut self, key: &str, truth: bool) {
        if let Some(marks) = self.begin(key) {
            protobuf::varint_field(&mut self.bytes, BOOL, u64::from(truth));
            self.end(marks);
        }
    }

    /// A key that is not there yet, with several texts, one after the other.
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

    /// Begins an entry and its value, if there is room for it.
    fn begin(&mut self, key: &str) -> Option<(usize, usize)> {
        if self.count >= Self::LIMIT || key.len() > Self::KEY_LIMIT_BYTES {
            self.dropped += 1;
            return None;
        }
        self.count += 1;
        // A place for the length.
        self.bytes.push(0);
        let entry = self.bytes.len();
        protobuf::bytes(&mut self.bytes, KEY, key.as_bytes());
        Some((entry, protobuf::open(&mut self.bytes, VALUE)))
    }

    fn end(&mut self, (entry, value): (usize, usize)) {
        protobuf::close(&mut self.bytes, value);
        protobuf::close(&mut self.bytes, entry);
    }

    /// Adds what `others` has and this lacks.
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

    /// Takes `key` out.
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

    /// The text of `key`, if it has one.
    pub(crate) fn get_text(&self, key: &str) -> Option<String> {
        let value = self.value(key)?.strip_prefix(&[STRING_TAG])?;
        let (length, text) = protobuf::read_varint(value)?;
        String::from_utf8(text.get(..length)?.to_vec()).ok()
    }

    /// The whole number of `key`, if it has one and it is not negative.
    pub(crate) fn get_int(&self, key: &str) -> Option<usize> {
        let (number, _) = protobuf::read_varint(self.value(key)?.strip_prefix(&[INT_TAG])?)?;
        Some(number)
    }

    /// The `AnyValue` of `key`.
    fn value(&self, key: &str) -> Option<&[u8]> {
        let entry = self.entries().find(|entry| key_of(entry) == Some(key.as_bytes()))?;
        let after_key = entry.get(protobuf::framed_len(key.len())..)?;
        let (length, value) = protobuf::read_varint(after_key.strip_prefix(&[VALUE_TAG])?)?;
        value.get(..length)
    }

    /// Writes each as `field` of a message, and how many were dropped as `dropped_field`.
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

/// `KeyValue` after `KeyValue`.
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

/// `text` as an `AnyValue`, cut to the limit.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(Attributes::VALUE_LIMIT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    protobuf::bytes(out, STRING, text.as_bytes().get(..end).unwrap_or(&[]));
}

// What it is checked against does not build for the browser.
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

    /// Pairs with different keys, and the attributes made of them.
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
    fn a_key_stands_once_and_the_number_of_keys_is_bounded() {
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
    fn others_come_behind_and_do_not_replace() {
        let (mut attributes, mut others) = (Attributes::default(), Attributes::default());
        attributes.set("a", 1_i64);
        others.set("a", 2_i64);
        others.set("b", 3_i64);
        attributes.extend(&others);
        same(&[("a".into(), Value::Int(1)), ("b".into(), Value::Int(3))], &decode(&attributes));
    }

    proptest! {
        #[test]
        fn what_is_set_decodes_to_what_was_meant((pairs, attributes) in attributes()) {
            same(&pairs, &decode(&attributes));
        }

        #[test]
        fn what_is_set_can_be_asked_for((pairs, attributes) in attributes()) {
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
        fn what_is_removed_is_gone((pairs, attributes) in attributes(), index: prop::sample::Index) {
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
