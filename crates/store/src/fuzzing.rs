//! Entry points for the fuzz targets. They are not part of the public API, and may change at any time.

use throughline_context::{SpanId, TraceId};
use throughline_otlp::Span;

use crate::block::{self, Encoder};

/// Encodes spans as the head and the payload of a block, before compression.
#[must_use]
pub fn parts(spans: &[Span]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some(Encoder::new().ok()?.parts(&spans.iter().collect::<Vec<_>>()))
}

/// Assembles a block from a head and a payload, as it would be on disk.
#[must_use]
pub fn assembled(head: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    block::assembled(head, payload).ok()
}

/// Prepends the correct checksum to the rest of a block.
#[must_use]
pub fn sealed(rest: &[u8]) -> Vec<u8> {
    block::sealed(rest)
}

/// Returns the span ids in the head of a block.
#[must_use]
pub fn span_ids(block: &[u8]) -> Option<Vec<SpanId>> {
    Some(block::head(block).ok()?.span_ids)
}

/// Decodes all spans of a block.
#[must_use]
pub fn decode(block: &[u8]) -> Option<Vec<Span>> {
    Some(block::decode(block).ok()?.0)
}

/// Decodes the spans of one trace in a block.
#[must_use]
pub fn decode_trace(block: &[u8], trace_id: TraceId) -> Option<Vec<Span>> {
    block::decode_trace(block, trace_id).ok()
}

/// Encodes as many of the first spans as fit in a block. Returns their number and the block.
#[must_use]
pub fn encode(spans: &[Span]) -> Option<(usize, Vec<u8>)> {
    Encoder::new().ok()?.encode(&spans.iter().collect::<Vec<_>>()).ok()
}
