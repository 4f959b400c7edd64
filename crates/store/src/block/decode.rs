//! Decodes blocks into spans.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};
use throughline_otlp::{Event, Link, Resource, Scope, Span, SpanKind, Status, StatusCode, decode_resource_scope};
use zstd::bulk::Decompressor;

use super::{
    DECODER, MAX_PAYLOAD_BYTES, VERSION,
    attributes::Dictionary,
    columns::{Column, Readers, has},
    dictionary_id,
    encode::CHECKSUM_BYTES,
    head::Head,
    is_known_dictionary,
};
use crate::{
    StoreError, sqlite,
    varint::{Broken, Reader},
};

impl From<Broken> for StoreError {
    fn from(broken: Broken) -> Self {
        Self::Corrupt(broken.to_string())
    }
}

/// Decodes the head of a block.
pub(crate) fn head(block: &[u8]) -> Result<Head, StoreError> {
    Ok(Head::read(&mut checked(block)?)?)
}

/// Decodes all spans of a block, in order. Returns them with the size of the payload before compression, in bytes.
pub(crate) fn decode(block: &[u8]) -> Result<(Vec<Span>, usize), StoreError> {
    read(block, |_| true)
}

/// Decodes the spans of one trace.
pub(crate) fn decode_trace(block: &[u8], trace_id: TraceId) -> Result<Vec<Span>, StoreError> {
    read(block, |of| of == trace_id).map(|(spans, _)| spans)
}

fn read(block: &[u8], wanted: impl Fn(TraceId) -> bool) -> Result<(Vec<Span>, usize), StoreError> {
    let mut reader = checked(block)?;
    let head = Head::read(&mut reader)?;
    let length = reader.size()?;
    // The frame also has the length: memory is allocated only if both agree.
    let frame_length = zstd::zstd_safe::get_frame_content_size(reader.0).ok().flatten();
    if length > MAX_PAYLOAD_BYTES || frame_length != Some(length as u64) {
        return Err(Broken.into());
    }
    let decompressor = Decompressor::with_prepared_dictionary(&DECODER);
    let payload = decompressor
        .and_then(|mut decompressor| decompressor.decompress(reader.0, length))
        .map_err(|error| StoreError::Corrupt(format!("a block cannot be decompressed: {error}")))?;
    Ok((spans(&head, &payload, wanted)?, payload.len()))
}

/// Checks the checksum, the version and the dictionary of a block, and returns a reader at its head.
fn checked(block: &[u8]) -> Result<Reader<'_>, StoreError> {
    let mut reader = Reader(block);
    let checksum = u32::from_le_bytes(reader.array::<CHECKSUM_BYTES>()?);
    if crc32fast::hash(reader.0) != checksum {
        return Err(StoreError::Corrupt("a block has a wrong checksum".to_owned()));
    }
    match reader.byte()? {
        VERSION => {}
        0 => return Err(StoreError::Corrupt("a block has format version 0, but the first version is 1".to_owned())),
        found => return Err(StoreError::NewerBlock { file: sqlite::FILE, found, supported: VERSION }),
    }
    let found = u32::from_le_bytes(reader.array()?);
    if !is_known_dictionary(found) {
        let supported = dictionary_id();
        return Err(StoreError::UnknownDictionary { file: sqlite::FILE.into(), found, supported });
    }
    Ok(reader)
}

pub(super) fn spans(head: &Head, payload: &[u8], wanted: impl Fn(TraceId) -> bool) -> Result<Vec<Span>, Broken> {
    let mut columns = Readers::new(payload)?;
    let dictionary = Dictionary::read(&mut columns)?;
    let mut sources = Sources::read(*columns.column(Column::Sources))?;
    let Some(last) = head.runs.iter().rposition(|run| wanted(run.trace_id)) else { return Ok(Vec::new()) };
    let mut spans = Vec::new();
    let mut start_ns = 0_u64;
    for run in &head.runs[..=last] {
        let is_wanted = wanted(run.trace_id);
        if is_wanted {
            spans.reserve(run.spans);
        }
        for place in run.first..run.first + run.spans {
            let row = Row { head, place, trace_id: run.trace_id };
            start_ns = start_ns.wrapping_add(columns.column(Column::Start).signed()? as u64);
            if is_wanted {
                spans.push(row.read(start_ns, &mut columns, &dictionary, &mut sources)?);
            } else {
                row.skip(&mut columns, &dictionary)?;
            }
        }
    }
    Ok(spans)
}

/// A span that is being read.
struct Row<'a> {
    head: &'a Head,
    place: usize,
    trace_id: TraceId,
}

/// The properties that few spans have, or their number.
#[derive(Default)]
struct Rare<'a> {
    trace_state: &'a str,
    status_message: &'a str,
    dropped_attributes: u32,
    events: usize,
    dropped_events: u32,
    links: usize,
    dropped_links: u32,
}

impl<'a> Rare<'a> {
    fn read(columns: &mut Readers<'a>, dictionary: &Dictionary<'a>) -> Result<Self, Broken> {
        let bits = columns.column(Column::Has).byte()?;
        let mut rare = Self::default();
        if bits == 0 {
            return Ok(rare);
        }
        let has = |bit| bits & bit != 0;
        let column = columns.column(Column::Rare);
        if has(has::TRACE_STATE) {
            rare.trace_state = dictionary.text(column.size()?)?;
        }
        if has(has::STATUS_MESSAGE) {
            rare.status_message = dictionary.text(column.size()?)?;
        }
        if has(has::DROPPED_ATTRIBUTES) {
            rare.dropped_attributes = column.short()?;
        }
        if has(has::EVENTS) {
            rare.events = column.count()?;
        }
        if has(has::DROPPED_EVENTS) {
            rare.dropped_events = column.short()?;
        }
        if has(has::LINKS) {
            rare.links = column.count()?;
        }
        if has(has::DROPPED_LINKS) {
            rare.dropped_links = column.short()?;
        }
        Ok(rare)
    }
}

impl Row<'_> {
    fn read<'a>(
        &self,
        start_ns: u64,
        columns: &mut Readers<'a>,
        dictionary: &Dictionary<'a>,
        sources: &mut Sources<'a>,
    ) -> Result<Span, Broken> {
        let (resource, scope) = sources.get(columns.column(Column::Source).size()?)?;
        let parent_span_id = self.parent(columns)?;
        let end_ns = start_ns.wrapping_add(columns.column(Column::Duration).signed()? as u64);
        let name = dictionary.text(columns.column(Column::Name).size()?)?.to_owned();
        let kind = columns.column(Column::Kind).byte()?;
        let flags = columns.column(Column::Flags).short()?;
        let rare = Rare::read(columns, dictionary)?;
        let attributes = dictionary.attributes(columns)?;
        let events = (0..rare.events).map(|_| event(start_ns, columns, dictionary)).collect::<Result<_, _>>()?;
        let links = (0..rare.links).map(|_| link(columns, dictionary)).collect::<Result<_, _>>()?;
        Ok(Span {
            trace_id: self.trace_id,
            span_id: *self.head.span_ids.get(self.place).ok_or(Broken)?,
            parent_span_id,
            trace_state: rare.trace_state.to_owned(),
            flags,
            name,
            kind: SpanKind::from_number((kind & 0xf).into()),
            start_ns,
            end_ns,
            attributes,
            dropped_attributes_count: rare.dropped_attributes,
            events,
            dropped_events_count: rare.dropped_events,
            links,
            dropped_links_count: rare.dropped_links,
            status: Status {
                code: StatusCode::from_number((kind >> 4).into()),
                message: rare.status_message.to_owned(),
            },
            resource,
            scope,
        })
    }

    /// Skips the span.
    fn skip<'a>(&self, columns: &mut Readers<'a>, dictionary: &Dictionary<'a>) -> Result<(), Broken> {
        columns.column(Column::Source).number()?;
        if columns.column(Column::Parent).number()? == 1 {
            columns.column(Column::FarParents).take(8)?;
        }
        columns.column(Column::Duration).number()?;
        columns.column(Column::Name).number()?;
        columns.column(Column::Kind).byte()?;
        columns.column(Column::Flags).number()?;
        let rare = Rare::read(columns, dictionary)?;
        dictionary.skip_attributes(columns)?;
        for _ in 0..rare.events {
            let column = columns.column(Column::Rare);
            for _ in 0..3 {
                column.number()?;
            }
            dictionary.skip_attributes(columns)?;
        }
        for _ in 0..rare.links {
            let column = columns.column(Column::Rare);
            column.take(16 + 8)?;
            for _ in 0..3 {
                column.number()?;
            }
            dictionary.skip_attributes(columns)?;
        }
        Ok(())
    }

    fn parent(&self, columns: &mut Readers<'_>) -> Result<Option<SpanId>, Broken> {
        match columns.column(Column::Parent).number()? {
            0 => Ok(None),
            1 => SpanId::from_bytes(columns.column(Column::FarParents).array()?).ok_or(Broken).map(Some),
            number => {
                let zigzag = number - 2;
                let apart = (zigzag >> 1) as isize ^ -((zigzag & 1) as isize);
                let at = self.place.checked_add_signed(apart).ok_or(Broken)?;
                self.head.span_ids.get(at).copied().ok_or(Broken).map(Some)
            }
        }
    }
}

fn event<'a>(start_ns: u64, columns: &mut Readers<'a>, dictionary: &Dictionary<'a>) -> Result<Event, Broken> {
    let column = columns.column(Column::Rare);
    Ok(Event {
        time_ns: start_ns.wrapping_add(column.signed()? as u64),
        name: dictionary.text(column.size()?)?.to_owned(),
        dropped_attributes_count: column.short()?,
        attributes: dictionary.attributes(columns)?,
    })
}

fn link<'a>(columns: &mut Readers<'a>, dictionary: &Dictionary<'a>) -> Result<Link, Broken> {
    let column = columns.column(Column::Rare);
    Ok(Link {
        trace_id: TraceId::from_bytes(column.array()?).ok_or(Broken)?,
        span_id: SpanId::from_bytes(column.array()?).ok_or(Broken)?,
        flags: column.short()?,
        dropped_attributes_count: column.short()?,
        trace_state: dictionary.text(column.size()?)?.to_owned(),
        attributes: dictionary.attributes(columns)?,
    })
}

/// The resources and scopes of a block, decoded when they are first needed, and shared.
struct Sources<'a> {
    bytes: Vec<&'a [u8]>,
    read: Vec<Option<(Arc<Resource>, Arc<Scope>)>>,
}

impl<'a> Sources<'a> {
    fn read(mut column: Reader<'a>) -> Result<Self, Broken> {
        let mut bytes = Vec::new();
        while !column.0.is_empty() {
            bytes.push(column.bytes()?);
        }
        let read = vec![None; bytes.len()];
        Ok(Self { bytes, read })
    }

    fn get(&mut self, number: usize) -> Result<(Arc<Resource>, Arc<Scope>), Broken> {
        let source = self.read.get_mut(number).ok_or(Broken)?;
        if let Some((resource, scope)) = source {
            return Ok((Arc::clone(resource), Arc::clone(scope)));
        }
        let (resource, scope) = decode_resource_scope(self.bytes[number]).map_err(|_| Broken)?;
        *source = Some((Arc::clone(&resource), Arc::clone(&scope)));
        Ok((resource, scope))
    }
}
