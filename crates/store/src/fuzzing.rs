//! What fuzz targets drive, which nobody else should: it may change at any time.

use throughline_context::{SpanId, TraceId};
use throughline_otlp::Span;

use crate::block::{self, Encoder};

/// The head and the payload of a block of these spans, before compression.
#[must_use]
pub fn parts(spans: &[Span]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some(Encoder::new().ok()?.parts(&spans.iter().collect::<Vec<_>>()))
}

/// A block with this head and payload, as it would be on disk.
#[must_use]
pub fn assembled(head: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    block::assembled(head, payload).ok()
}

/// A block with the right checksum over these bytes.
#[must_use]
pub fn sealed(rest: &[u8]) -> Vec<u8> {
    block::sealed(rest)
}

/// Which spans a block says that it has.
#[must_use]
pub fn span_ids(block: &[u8]) -> Option<Vec<SpanId>> {
    Some(block::head(block).ok()?.span_ids)
}

/// All spans of a block.
#[must_use]
pub fn decode(block: &[u8]) -> Option<Vec<Span>> {
    Some(block::decode(block).ok()?.0)
}

/// Those of one trace.
#[must_use]
pub fn decode_trace(block: &[u8], trace_id: TraceId) -> Option<Vec<Span>> {
    block::decode_trace(block, trace_id).ok()
}

/// As many of the first spans as a block takes, and the block.
#[must_use]
pub fn encode(spans: &[Span]) -> Option<(usize, Vec<u8>)> {
    Encoder::new().ok()?.encode(&spans.iter().collect::<Vec<_>>()).ok()
}
