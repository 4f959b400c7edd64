//! The columns of a block.

use crate::varint::{Broken, Reader, put_bytes};

/// A column that every block has. Unless noted otherwise, it has one entry for each span, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// The length of each text of the block.
    TextLengths,
    /// The texts of the block.
    Texts,
    /// Each resource and scope of the block as protobuf, preceded by its length.
    Sources,
    /// The number of the resource and scope.
    Source,
    /// 0 for a root, 1 for a parent in [`Column::FarParents`], else 2 plus the zigzag-encoded distance to the parent.
    Parent,
    /// The ids of parents that are not in the block.
    FarParents,
    /// The start, as the difference to that of the previous span.
    Start,
    /// The duration.
    Duration,
    /// The number of the name's text.
    Name,
    /// The kind and the status code.
    Kind,
    Flags,
    /// A bit for each property that is in [`Column::Rare`].
    Has,
    /// The properties that few spans have, one after the other.
    Rare,
    /// Each list of attribute keys: their number, and the number of each key.
    Shapes,
    /// The number of the list of attribute keys, followed by those of the span's events and links.
    Shape,
    /// The number of the text of each attribute key. The columns of values follow in this order.
    Keys,
}

impl Column {
    pub(super) const COUNT: usize = Self::Keys as usize + 1;
}

/// The bits of [`Column::Has`].
pub(super) mod has {
    pub(in crate::block) const TRACE_STATE: u8 = 1;
    pub(in crate::block) const STATUS_MESSAGE: u8 = 2;
    pub(in crate::block) const DROPPED_ATTRIBUTES: u8 = 4;
    pub(in crate::block) const EVENTS: u8 = 8;
    pub(in crate::block) const DROPPED_EVENTS: u8 = 16;
    pub(in crate::block) const LINKS: u8 = 32;
    pub(in crate::block) const DROPPED_LINKS: u8 = 64;
}

/// Columns that are being written. They are cleared between blocks, so that their memory is reused.
#[derive(Debug, Default)]
pub(super) struct Writers {
    fixed: [Vec<u8>; Column::COUNT],
    /// The columns of values, by the number of their key.
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

    /// Adds a column of values, and returns the number of its key.
    pub(super) fn add_values(&mut self) -> usize {
        if self.used_values == self.values.len() {
            self.values.push(Vec::new());
        }
        self.used_values += 1;
        self.used_values - 1
    }

    /// Returns the number of bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.all().map(Vec::len).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.fixed.iter().chain(&self.values[..self.used_values])
    }

    /// Appends all columns, each preceded by its length.
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

/// Columns that are being read.
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
