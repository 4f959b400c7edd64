//! Attributes: numbered lists of keys, and a column of values for each key.

use foldhash::HashMap;
use throughline_otlp::{KeyValue, Value};

use super::columns::{Column, Readers, Writers};
use crate::varint::{Broken, Reader, put, put_bytes, put_signed};

/// The type of a value. The discriminant is part of the format.
#[derive(Clone, Copy)]
enum Tag {
    Empty,
    False,
    True,
    Text,
    Int,
    /// A floating-point number with at most three decimals, such as a duration in milliseconds.
    Thousandths,
    Double,
    Bytes,
    Array,
    Map,
}

impl Tag {
    const ALL: [Self; 10] = [
        Self::Empty,
        Self::False,
        Self::True,
        Self::Text,
        Self::Int,
        Self::Thousandths,
        Self::Double,
        Self::Bytes,
        Self::Array,
        Self::Map,
    ];
}

/// The distinct texts of a block that is being written.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Texts<'a> {
    pub(super) fn number(&mut self, text: &'a str, columns: &mut Writers) -> u64 {
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(text).or_insert_with(|| {
            put(columns.column(Column::TextLengths), text.len() as u64);
            columns.column(Column::Texts).extend_from_slice(text.as_bytes());
            next
        });
        number.into()
    }
}

/// The attribute keys of a block that is being written, and the distinct lists of them.
#[derive(Debug, Default)]
pub(super) struct Shapes<'a> {
    keys: HashMap<&'a str, usize>,
    shapes: HashMap<Box<[usize]>, u64>,
    /// The current list.
    list: Vec<usize>,
}

/// Writes a list of attributes.
pub(super) fn write<'a>(
    attributes: &'a [KeyValue],
    shapes: &mut Shapes<'a>,
    texts: &mut Texts<'a>,
    columns: &mut Writers,
) {
    shapes.list.clear();
    for attribute in attributes {
        let key = *shapes.keys.entry(&attribute.key).or_insert_with(|| {
            let text = texts.number(&attribute.key, columns);
            put(columns.column(Column::Keys), text);
            columns.add_values()
        });
        shapes.list.push(key);
        let mut values = std::mem::take(columns.values(key));
        write_value(&attribute.value, &mut values, texts, columns);
        *columns.values(key) = values;
    }
    let shape = match shapes.shapes.get(&shapes.list[..]) {
        Some(shape) => *shape,
        None => {
            let column = columns.column(Column::Shapes);
            put(column, shapes.list.len() as u64);
            shapes.list.iter().for_each(|key| put(column, *key as u64));
            let shape = shapes.shapes.len() as u64;
            shapes.shapes.insert(shapes.list.as_slice().into(), shape);
            shape
        }
    };
    put(columns.column(Column::Shape), shape);
}

fn write_value<'a>(value: &'a Value, into: &mut Vec<u8>, texts: &mut Texts<'a>, columns: &mut Writers) {
    match value {
        Value::Empty => into.push(Tag::Empty as u8),
        Value::Bool(false) => into.push(Tag::False as u8),
        Value::Bool(true) => into.push(Tag::True as u8),
        Value::String(text) => {
            into.push(Tag::Text as u8);
            put(into, texts.number(text, columns));
        }
        Value::Int(number) => {
            into.push(Tag::Int as u8);
            put_signed(into, *number);
        }
        Value::Double(number) => match thousandths(*number) {
            Some(thousandths) => {
                into.push(Tag::Thousandths as u8);
                put_signed(into, thousandths);
            }
            None => {
                into.push(Tag::Double as u8);
                into.extend_from_slice(&number.to_le_bytes());
            }
        },
        Value::Bytes(bytes) => {
            into.push(Tag::Bytes as u8);
            put_bytes(into, bytes);
        }
        Value::Array(values) => {
            into.push(Tag::Array as u8);
            put(into, values.len() as u64);
            values.iter().for_each(|value| write_value(value, into, texts, columns));
        }
        Value::Map(entries) => {
            into.push(Tag::Map as u8);
            put(into, entries.len() as u64);
            for entry in entries {
                put(into, texts.number(&entry.key, columns));
                write_value(&entry.value, into, texts, columns);
            }
        }
    }
}

/// Returns the number in thousandths, if the conversion is exact.
fn thousandths(number: f64) -> Option<i64> {
    /// All integers below this limit are exact.
    const LIMIT: f64 = (1_u64 << 52) as f64;
    let thousandths = (number * 1_000.0).round();
    if thousandths.abs() >= LIMIT || thousandths.is_nan() {
        return None;
    }
    // The bits are compared with those that are read back: negative zero would become zero.
    let thousandths = thousandths as i64;
    ((thousandths as f64 / 1_000.0).to_bits() == number.to_bits()).then_some(thousandths)
}

/// The texts, keys and shapes of a block that is being read.
#[derive(Debug)]
pub(super) struct Dictionary<'a> {
    texts: Vec<&'a str>,
    /// The text of each key.
    keys: Vec<&'a str>,
    /// The keys of each shape, by their numbers.
    shapes: Vec<Vec<usize>>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn read(columns: &mut Readers<'a>) -> Result<Self, Broken> {
        let mut lengths = *columns.column(Column::TextLengths);
        let bytes = columns.column(Column::Texts).0;
        let all = std::str::from_utf8(bytes).map_err(|_| Broken)?;
        let (mut texts, mut at) = (Vec::with_capacity(lengths.0.len()), 0_usize);
        while !lengths.0.is_empty() {
            let end = at.checked_add(lengths.size()?).ok_or(Broken)?;
            texts.push(all.get(at..end).ok_or(Broken)?);
            at = end;
        }
        let mut keys = Vec::new();
        let mut column = *columns.column(Column::Keys);
        while !column.0.is_empty() {
            keys.push(*texts.get(column.size()?).ok_or(Broken)?);
        }
        let mut shapes = Vec::new();
        let mut column = *columns.column(Column::Shapes);
        while !column.0.is_empty() {
            let count = column.count()?;
            let shape: Vec<usize> = (0..count).map(|_| column.size()).collect::<Result<_, _>>()?;
            if shape.iter().any(|key| *key >= keys.len()) {
                return Err(Broken);
            }
            shapes.push(shape);
        }
        Ok(Self { texts, keys, shapes })
    }

    pub(super) fn text(&self, number: usize) -> Result<&'a str, Broken> {
        self.texts.get(number).copied().ok_or(Broken)
    }

    /// Reads a list of attributes.
    pub(super) fn attributes(&self, columns: &mut Readers<'a>) -> Result<Vec<KeyValue>, Broken> {
        let shape = self.shape(columns)?;
        let mut attributes = Vec::with_capacity(shape.len());
        for key in shape {
            let value = self.value(columns.values(*key)?, DEPTH)?;
            attributes.push(KeyValue { key: self.keys[*key].to_owned(), value });
        }
        Ok(attributes)
    }

    /// Skips a list of attributes.
    pub(super) fn skip_attributes(&self, columns: &mut Readers<'a>) -> Result<(), Broken> {
        for key in self.shape(columns)? {
            skip_value(columns.values(*key)?, DEPTH)?;
        }
        Ok(())
    }

    fn shape(&self, columns: &mut Readers<'a>) -> Result<&[usize], Broken> {
        let number = columns.column(Column::Shape).size()?;
        self.shapes.get(number).map(Vec::as_slice).ok_or(Broken)
    }

    fn value(&self, column: &mut Reader<'a>, depth: usize) -> Result<Value, Broken> {
        let below = depth.checked_sub(1).ok_or(Broken)?;
        Ok(match tag(column)? {
            Tag::Empty => Value::Empty,
            Tag::False => Value::Bool(false),
            Tag::True => Value::Bool(true),
            Tag::Text => Value::String(self.text(column.size()?)?.to_owned()),
            Tag::Int => Value::Int(column.signed()?),
            Tag::Thousandths => Value::Double(column.signed()? as f64 / 1_000.0),
            Tag::Double => Value::Double(f64::from_le_bytes(column.array()?)),
            Tag::Bytes => Value::Bytes(column.bytes()?.to_vec()),
            Tag::Array => {
                let count = column.count()?;
                Value::Array((0..count).map(|_| self.value(column, below)).collect::<Result<_, _>>()?)
            }
            Tag::Map => {
                let count = column.count()?;
                let mut entry = || {
                    let key = self.text(column.size()?)?.to_owned();
                    Ok(KeyValue { key, value: self.value(column, below)? })
                };
                Value::Map((0..count).map(|_| entry()).collect::<Result<_, _>>()?)
            }
        })
    }
}

/// The maximum nesting depth of values that are read: deeper than a receiver accepts.
const DEPTH: usize = throughline_otlp::MAX_VALUE_DEPTH + 1;

fn tag(column: &mut Reader<'_>) -> Result<Tag, Broken> {
    Tag::ALL.get(usize::from(column.byte()?)).copied().ok_or(Broken)
}

fn skip_value(column: &mut Reader<'_>, depth: usize) -> Result<(), Broken> {
    let below = depth.checked_sub(1).ok_or(Broken)?;
    match tag(column)? {
        Tag::Empty | Tag::False | Tag::True => {}
        Tag::Text | Tag::Int | Tag::Thousandths => drop(column.number()?),
        Tag::Double => drop(column.take(8)?),
        Tag::Bytes => drop(column.bytes()?),
        Tag::Array => {
            for _ in 0..column.count()? {
                skip_value(column, below)?;
            }
        }
        Tag::Map => {
            for _ in 0..column.count()? {
                column.number()?;
                skip_value(column, below)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_thousandths_are_converted() {
        assert_eq!(thousandths(12.345), Some(12_345));
        assert_eq!(thousandths(-0.001), Some(-1));
        assert_eq!(thousandths(0.0), Some(0));
        for number in [-0.0, f64::NAN, f64::INFINITY, 0.1 + 0.2, 1e300, 1e-9] {
            assert_eq!(thousandths(number), None, "{number}");
        }
    }
}
