//! The columns of a block.

use crate::varint::{Broken, Reader, put_bytes};

/// A column that every block has. What a span has of it, in the order of spans, if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// The length of each text of the dictionary.
    TextLengths,
    /// The texts themselves.
    Texts,
    /// Each resource and scope, protobuf, with its length.
    Sources,
    /// The number of its resource and scope.
    Source,
    /// 0 for a root, 1 for a parent that is in [`Column::FarParents`], else how many spans before or after.
    Parent,
    /// Ids of parents that are not in the block.
    FarParents,
    /// When it began, less when the one before it began.
    Start,
    /// How long it lasted.
    Duration,
    /// The text that is its name.
    Name,
    /// Its kind, and its status code.
    Kind,
    Flags,
    /// Which of [`Column::Rare`] it has, a bit each.
    Has,
    /// What few spans have, one after the other.
    Rare,
    /// Each list of keys: how many, and the text of each.
    Shapes,
    /// The number of its list of keys; those of events and links are in between.
    Shape,
    /// The text of each key that has a column of values; the columns follow in this order.
    Keys,
}

impl Column {
    pub(super) const COUNT: usize = Self::Keys as usize + 1;
}

/// Bits of [`Column::Has`].
pub(super) mod has {
    pub(in crate::block) const TRACE_STATE: u8 = 1;
    pub(in crate::block) const STATUS_MESSAGE: u8 = 2;
    pub(in crate::block) const DROPPED_ATTRIBUTES: u8 = 4;
    pub(in crate::block) const EVENTS: u8 = 8;
    pub(in crate::block) const DROPPED_EVENTS: u8 = 16;
    pub(in crate::block) const LINKS: u8 = 32;
    pub(in crate::block) const DROPPED_LINKS: u8 = 64;
}

/// Columns while they are written. Cleared, not dropped, between blocks: their memory is used again.
#[derive(Debug, Default)]
pub(super) struct Writers {
    fixed: [Vec<u8>; Column::COUNT],
    /// Of values, by the number of their key.
    values: Vec<Vec<u8>>,
    used_values: usize,
}

impl Writers {
    pub(super) fn column(&mut self, column: Column) -> &mut Vec<u8> {
        &mut self.fixed[column as usize]
    }

    pub(super) fn values(&mut self, key: usize) -> &mut Vec<u8> {
        &mut self.values[key]
    }

    /// A column of values; the number of its key.
    pub(super) fn add_values(&mut self) -> usize {
        if self.used_values == self.values.len() {
            self.values.push(Vec::new());
        }
        self.used_values += 1;
        self.used_values - 1
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.all().map(Vec::len).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.fixed.iter().chain(&self.values[..self.used_values])
    }

    /// All of them, each with its length.
    pub(super) fn join(&self, into: &mut Vec<u8>) {
        for column in self.all() {
            put_bytes(into, column);
        }
    }

    pub(super) fn clear(&mut self) {
        self.fixed.iter_mut().chain(&mut self.values).for_each(Vec::clear);
        self.used_values = 0;
    }
}

/// Columns while they are read.
#[derive(Debug)]
pub(super) struct Readers<'a> {
    fixed: [Reader<'a>; Column::COUNT],
    values: Vec<Reader<'a>>,
}

impl<'a> Readers<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Result<Self, Broken> {
        let mut payload = Reader(payload);
        let mut fixed = [Reader::default(); Column::COUNT];
        for column in &mut fixed {
            *column = Reader(payload.bytes()?);
        }
        let mut values = Vec::new();
        while !payload.0.is_empty() {
            values.push(Reader(payload.bytes()?));
        }
        Ok(Self { fixed, values })
    }

    pub(super) fn column(&mut self, column: Column) -> &mut Reader<'a> {
        &mut self.fixed[column as usize]
    }

    pub(super) fn values(&mut self, key: usize) -> Result<&mut Reader<'a>, Broken> {
        self.values.get_mut(key).ok_or(Broken)
    }
}
