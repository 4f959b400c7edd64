//! Encodes spans as blocks.

use foldhash::{HashMap, HashMapExt as _};
use std::sync::Arc;
use throughline_context::{SpanId, TraceId};
use throughline_otlp::{Span, encode_resource_scope};
use zstd::bulk::Compressor;

use super::{
    DICTIONARY, LEVEL, MAX_BYTES, MAX_SPANS,
    attributes::{self, Shapes, Texts},
    columns::{Column, Writers, has},
    head::{Head, Run},
    put_version,
};
use crate::{
    StoreError,
    varint::{put, put_bytes, put_signed},
};

/// An encoder of blocks. It reuses its buffers between blocks.
pub(crate) struct Encoder {
    compressor: Compressor<'static>,
    columns: Writers,
    head: Head,
    payload: Vec<u8>,
    compressed: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self, StoreError> {
        let compressor = Compressor::with_dictionary(LEVEL, DICTIONARY.as_bytes());
        Ok(Self {
            compressor: compressor.map_err(|error| StoreError::Sqlite(Box::new(error)))?,
            columns: Writers::default(),
            head: Head::default(),
            payload: Vec::new(),
            compressed: Vec::new(),
        })
    }

    /// Returns the runs of the last block.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.head.runs
    }

    /// Encodes as many of the first spans as fit in a block, at least one. Returns their number and the block.
    pub(crate) fn encode(&mut self, spans: &[&Span]) -> Result<(usize, Vec<u8>), StoreError> {
        let count = self.fill(spans);
        let most = zstd::zstd_safe::compress_bound(self.payload.len());
        self.compressed.clear();
        self.compressed.reserve(most);
        self.compressor
            .compress_to_buffer(&self.payload, &mut self.compressed)
            .map_err(|error| StoreError::Sqlite(Box::new(error)))?;
        let mut bytes = vec![0; CHECKSUM_BYTES];
        bytes.reserve(self.compressed.len() + self.head.span_ids.len() * 16);
        put_version(&mut bytes);
        self.head.write(&mut bytes);
        put(&mut bytes, self.payload.len() as u64);
        bytes.extend_from_slice(&self.compressed);
        let checksum = crc32fast::hash(&bytes[CHECKSUM_BYTES..]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
        Ok((count, bytes))
    }

    /// Builds the head and the payload, and returns the number of spans in them.
    fn fill(&mut self, spans: &[&Span]) -> usize {
        self.columns.clear();
        self.head.clear();
        let mut block = Block {
            columns: &mut self.columns,
            texts: Texts::default(),
            shapes: Shapes::default(),
            sources: Sources::default(),
            places: HashMap::with_capacity(spans.len().min(MAX_SPANS)),
            last_start_ns: 0,
        };
        let mut count = 0;
        for span in spans.iter().take(MAX_SPANS) {
            block.span(span);
            block.places.insert((span.trace_id, span.span_id), count);
            self.head.push(span.trace_id, span.span_id, span.is_error());
            count += 1;
            if block.columns.len() >= MAX_BYTES {
                break;
            }
        }
        // Parents are written last, when all spans of the block are known.
        for (place, span) in spans[..count].iter().enumerate() {
            block.parent(place, span);
        }
        self.payload.clear();
        self.columns.join(&mut self.payload);
        count
    }

    #[cfg(test)]
    pub(super) fn payload_of(&mut self, spans: &[&Span]) -> Vec<u8> {
        self.fill(spans);
        self.payload.clone()
    }

    /// Returns the head and the payload, before compression.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn parts(&mut self, spans: &[&Span]) -> (Vec<u8>, Vec<u8>) {
        self.fill(spans);
        let mut head = Vec::new();
        self.head.write(&mut head);
        (head, self.payload.clone())
    }
}

/// Compresses a payload, and prepends its length.
#[cfg(feature = "fuzzing")]
pub(super) fn compressed(payload: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    put(&mut bytes, payload.len() as u64);
    let compressor = Compressor::with_dictionary(LEVEL, DICTIONARY.as_bytes());
    let compressed = compressor.and_then(|mut compressor| compressor.compress(payload));
    bytes.extend(compressed.map_err(|error| StoreError::Sqlite(Box::new(error)))?);
    Ok(bytes)
}

pub(super) const CHECKSUM_BYTES: usize = 4;

/// A block that is being written.
struct Block<'a, 'c> {
    columns: &'c mut Writers,
    texts: Texts<'a>,
    shapes: Shapes<'a>,
    sources: Sources,
    /// The index of each span in the block.
    places: HashMap<(TraceId, SpanId), usize>,
    last_start_ns: u64,
}

impl<'a> Block<'a, '_> {
    fn span(&mut self, span: &'a Span) {
        let source = self.sources.number(span, self.columns);
        put(self.columns.column(Column::Source), source);
        put_signed(self.columns.column(Column::Start), difference(span.start_ns, self.last_start_ns));
        self.last_start_ns = span.start_ns;
        put_signed(self.columns.column(Column::Duration), difference(span.end_ns, span.start_ns));
        self.text(Column::Name, &span.name);
        self.columns.column(Column::Kind).push(span.kind.number() as u8 | ((span.status.code.number() as u8) << 4));
        put(self.columns.column(Column::Flags), span.flags.into());
        self.rare(span);
        attributes::write(&span.attributes, &mut self.shapes, &mut self.texts, self.columns);
        for event in &span.events {
            put_signed(self.columns.column(Column::Rare), difference(event.time_ns, span.start_ns));
            self.text(Column::Rare, &event.name);
            put(self.columns.column(Column::Rare), event.dropped_attributes_count.into());
            attributes::write(&event.attributes, &mut self.shapes, &mut self.texts, self.columns);
        }
        for link in &span.links {
            let column = self.columns.column(Column::Rare);
            column.extend_from_slice(&link.trace_id.to_bytes());
            column.extend_from_slice(&link.span_id.to_bytes());
            put(column, link.flags.into());
            put(column, link.dropped_attributes_count.into());
            self.text(Column::Rare, &link.trace_state);
            attributes::write(&link.attributes, &mut self.shapes, &mut self.texts, self.columns);
        }
    }

    fn parent(&mut self, place: usize, span: &Span) {
        let Some(parent) = span.parent_span_id else {
            put(self.columns.column(Column::Parent), 0);
            return;
        };
        match self.places.get(&(span.trace_id, parent)) {
            // The signed distance to the parent. 0 and 1 have other meanings, so it is offset by 2.
            Some(at) => {
                let apart = *at as i64 - place as i64;
                let zigzag = ((apart << 1) ^ (apart >> 63)) as u64;
                put(self.columns.column(Column::Parent), zigzag + 2);
            }
            None => {
                put(self.columns.column(Column::Parent), 1);
                self.columns.column(Column::FarParents).extend_from_slice(&parent.to_bytes());
            }
        }
    }

    /// Writes the properties that few spans have.
    fn rare(&mut self, span: &'a Span) {
        let mut bits = 0;
        let mut note = |bit, is_there| {
            if is_there {
                bits |= bit;
            }
        };
        note(has::TRACE_STATE, !span.trace_state.is_empty());
        note(has::STATUS_MESSAGE, !span.status.message.is_empty());
        note(has::DROPPED_ATTRIBUTES, span.dropped_attributes_count > 0);
        note(has::EVENTS, !span.events.is_empty());
        note(has::DROPPED_EVENTS, span.dropped_events_count > 0);
        note(has::LINKS, !span.links.is_empty());
        note(has::DROPPED_LINKS, span.dropped_links_count > 0);
        self.columns.column(Column::Has).push(bits);
        if bits == 0 {
            return;
        }
        if !span.trace_state.is_empty() {
            self.text(Column::Rare, &span.trace_state);
        }
        if !span.status.message.is_empty() {
            self.text(Column::Rare, &span.status.message);
        }
        for (bit, number) in [
            (has::DROPPED_ATTRIBUTES, span.dropped_attributes_count as usize),
            (has::EVENTS, span.events.len()),
            (has::DROPPED_EVENTS, span.dropped_events_count as usize),
            (has::LINKS, span.links.len()),
            (has::DROPPED_LINKS, span.dropped_links_count as usize),
        ] {
            if bits & bit != 0 {
                put(self.columns.column(Column::Rare), number as u64);
            }
        }
    }

    fn text(&mut self, column: Column, text: &'a str) {
        let number = self.texts.number(text, self.columns);
        put(self.columns.column(column), number);
    }
}

/// Returns the number to add to the second time to get the first. Both wrap, so any two times are restored exactly.
fn difference(ns: u64, from_ns: u64) -> i64 {
    ns.wrapping_sub(from_ns) as i64
}

/// The resources and scopes of a block. The spans of one request share them, so they are looked up by address before content.
#[derive(Default)]
struct Sources {
    by_address: HashMap<(usize, usize), u64>,
    by_content: HashMap<Vec<u8>, u64>,
}

impl Sources {
    fn number(&mut self, span: &Span, columns: &mut Writers) -> u64 {
        let address = (Arc::as_ptr(&span.resource).addr(), Arc::as_ptr(&span.scope).addr());
        let by_content = &mut self.by_content;
        *self.by_address.entry(address).or_insert_with(|| {
            let next = by_content.len() as u64;
            *by_content.entry(encode_resource_scope(&span.resource, &span.scope)).or_insert_with_key(|content| {
                put_bytes(columns.column(Column::Sources), content);
                next
            })
        })
    }
}
