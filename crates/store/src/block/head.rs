//! The head of a block: the uncompressed list of its spans.

use throughline_context::{SpanId, TraceId};

use super::MAX_SPANS;
use crate::varint::{Broken, Reader, put};

/// A run of adjacent spans of one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) trace_id: TraceId,
    /// The index of the first span in the block.
    pub(crate) first: usize,
    /// The number of spans.
    pub(crate) spans: usize,
    /// The number of failed spans.
    pub(crate) errors: usize,
}

/// The ids of the spans in a block, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) runs: Vec<Run>,
    pub(crate) span_ids: Vec<SpanId>,
}

impl Head {
    /// Adds a span.
    pub(super) fn push(&mut self, trace_id: TraceId, span_id: SpanId, is_error: bool) {
        match self.runs.last_mut() {
            Some(run) if run.trace_id == trace_id => {
                run.spans += 1;
                run.errors += usize::from(is_error);
            }
            _ => self.runs.push(Run { trace_id, first: self.span_ids.len(), spans: 1, errors: usize::from(is_error) }),
        }
        self.span_ids.push(span_id);
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.span_ids.clear();
    }

    pub(super) fn write(&self, into: &mut Vec<u8>) {
        put(into, self.runs.len() as u64);
        for run in &self.runs {
            into.extend_from_slice(&run.trace_id.to_bytes());
            put(into, run.spans as u64);
            put(into, run.errors as u64);
        }
        for span_id in &self.span_ids {
            into.extend_from_slice(&span_id.to_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let count = reader.count()?;
        let mut head = Self { runs: Vec::with_capacity(count), span_ids: Vec::new() };
        let mut first = 0_usize;
        for _ in 0..count {
            let trace_id = TraceId::from_bytes(reader.array()?).ok_or(Broken)?;
            let (spans, errors) = (reader.size()?, reader.size()?);
            // Counts that exceed the maximum of a block must not lead to allocations.
            let next = first.checked_add(spans).filter(|next| *next <= MAX_SPANS).ok_or(Broken)?;
            if errors > spans || spans == 0 {
                return Err(Broken);
            }
            head.runs.push(Run { trace_id, first, spans, errors });
            first = next;
        }
        head.span_ids.reserve(first);
        for _ in 0..first {
            head.span_ids.push(SpanId::from_bytes(reader.array()?).ok_or(Broken)?);
        }
        Ok(head)
    }
}
