//! Pages' records in the server's clock, for upstreams that show times as they come.

use crate::outgoing::Outgoing;
use std::collections::{BTreeMap, HashMap, btree_map::Entry};
use throughline_otlp::{
    KeyValue, LogRecord, Span,
    context::{TraceId, keys},
    is_client_reported, page_clock_offset_ns,
};
use throughline_store::{SpanStore as _, Store, StoreError};

/// Of how many traces the offset is remembered.
const MOST_TRACES: usize = 4096;

/// Moves what pages reported by what their trace knows of the two clocks. What is stored stays as it is.
#[derive(Debug)]
pub(crate) struct Aligner {
    store: Store,
    /// What was used for a trace before is used for the rest of it.
    offsets_ns: HashMap<TraceId, i64>,
}

impl Aligner {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, offsets_ns: HashMap::new() }
    }

    /// Moves those of a batch that can be: a trace whose requests were not measured says nothing about its clock.
    pub(crate) async fn align<R: Outgoing>(&mut self, batch: &mut [(u64, R)]) -> Result<(), StoreError> {
        // The memory of this batch: what is forgotten meanwhile must not move one record and not the next.
        let mut offsets_ns: BTreeMap<TraceId, Option<i64>> = BTreeMap::new();
        for (_, record) in batch {
            let Some(trace_id) = record.ids().0.filter(|_| is_client_reported(record.attributes())) else { continue };
            let offset_ns = match offsets_ns.entry(trace_id) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(self.offset_ns(trace_id).await?),
            };
            if let Some(offset_ns) = offset_ns {
                record.shift(offset_ns);
            }
        }
        Ok(())
    }

    async fn offset_ns(&mut self, trace_id: TraceId) -> Result<Option<i64>, StoreError> {
        if let Some(offset_ns) = self.offsets_ns.get(&trace_id) {
            return Ok(Some(*offset_ns));
        }
        let offset_ns = page_clock_offset_ns(&self.store.trace(trace_id).await?);
        if let Some(offset_ns) = offset_ns {
            if self.offsets_ns.len() >= MOST_TRACES {
                self.offsets_ns.clear();
            }
            self.offsets_ns.insert(trace_id, offset_ns);
        }
        Ok(offset_ns)
    }
}

pub(crate) fn shift_span(span: &mut Span, offset_ns: i64) {
    span.start_ns = span.start_ns.saturating_add_signed(offset_ns);
    span.end_ns = span.end_ns.saturating_add_signed(offset_ns);
    for event in &mut span.events {
        event.time_ns = event.time_ns.saturating_add_signed(offset_ns);
    }
    span.attributes.push(shifted_by(offset_ns));
}

pub(crate) fn shift_log_record(record: &mut LogRecord, offset_ns: i64) {
    for time_ns in [&mut record.time_ns, &mut record.observed_time_ns] {
        // 0 says that the time is not known.
        if *time_ns != 0 {
            *time_ns = time_ns.saturating_add_signed(offset_ns);
        }
    }
    record.attributes.push(shifted_by(offset_ns));
}

fn shifted_by(offset_ns: i64) -> KeyValue {
    KeyValue::new(keys::CLOCK_SHIFT_MS, offset_ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use throughline_otlp::{Event, context::SpanId};

    #[test]
    fn a_span_moves_with_its_events_and_says_by_how_much() {
        let (trace_id, span_id) = (TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([1; 8]).unwrap());
        let mut span = Span::new(trace_id, span_id, Arc::default(), Arc::default());
        (span.start_ns, span.end_ns) = (5_000_000, 9_000_000);
        span.events = vec![Event { time_ns: 7_000_000, ..Event::default() }];
        shift_span(&mut span, -2_500_000);
        assert_eq!((span.start_ns, span.end_ns, span.events[0].time_ns), (2_500_000, 6_500_000, 4_500_000));
        assert_eq!(span.attributes, [KeyValue::new(keys::CLOCK_SHIFT_MS, -2.5)]);
        shift_span(&mut span, i64::MIN);
        assert_eq!(span.start_ns, 0, "it does not wrap");
    }

    #[test]
    fn a_time_that_is_not_known_stays_unknown() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        record.observed_time_ns = 3;
        shift_log_record(&mut record, 2);
        assert_eq!((record.time_ns, record.observed_time_ns), (0, 5));
    }
}
