//! Shifts the records of pages to the server's clock, for upstreams that show times unchanged.

use crate::outgoing::Outgoing;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use throughline_context::{TraceId, keys};
use throughline_otlp::{KeyValue, LogRecord, Span, is_client_reported};
use throughline_store::{SpanStore as _, Store, StoreError};

/// The number of traces whose offset is cached.
const MAX_TRACES: usize = 4096;

/// Shifts records of pages by the clock offset of their trace. Stored records do not change.
#[derive(Debug)]
pub(crate) struct Aligner {
    store: Store,
    /// The offsets that were already used, so that all records of a trace are shifted equally.
    offsets_ns: HashMap<TraceId, i64>,
}

impl Aligner {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, offsets_ns: HashMap::new() }
    }

    /// Shifts the records of a batch whose trace has an offset. A trace without measured requests has none.
    pub(crate) async fn align<R: Outgoing>(&mut self, batch: &mut [(u64, R)]) -> Result<(), StoreError> {
        let reported = |record: &R| record.ids().0.filter(|_| is_client_reported(record.attributes()));
        let trace_ids: BTreeSet<TraceId> = batch.iter().filter_map(|(_, record)| reported(record)).collect();
        let offsets_ns = self.offsets_ns(trace_ids).await?;
        for (_, record) in batch {
            if let Some(offset_ns) = reported(record).and_then(|trace_id| offsets_ns.get(&trace_id)) {
                record.shift(*offset_ns);
            }
        }
        Ok(())
    }

    /// Returns the known offsets of these traces, from the cache or the traces' rows.
    async fn offsets_ns(&mut self, trace_ids: BTreeSet<TraceId>) -> Result<BTreeMap<TraceId, i64>, StoreError> {
        let (known, unknown): (Vec<TraceId>, Vec<TraceId>) =
            trace_ids.into_iter().partition(|trace_id| self.offsets_ns.contains_key(trace_id));
        // The cache may be cleared below, so the offsets of this batch are copied first.
        let mut offsets_ns: BTreeMap<TraceId, i64> =
            known.into_iter().filter_map(|trace_id| Some((trace_id, *self.offsets_ns.get(&trace_id)?))).collect();
        let facts = self.store.facts(unknown.clone()).await?;
        for (trace_id, facts) in unknown.into_iter().zip(facts) {
            let Some(clock) = facts.page_clock else { continue };
            if self.offsets_ns.len() >= MAX_TRACES {
                self.offsets_ns.clear();
            }
            self.offsets_ns.insert(trace_id, clock.offset_ns);
            offsets_ns.insert(trace_id, clock.offset_ns);
        }
        Ok(offsets_ns)
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
        // 0 means that the time is unknown.
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
    use throughline_context::SpanId;
    use throughline_otlp::{Event, SpanKind, clocked};
    use throughline_timing::{ClockedSpan, align};

    #[test]
    fn a_span_is_shifted_with_its_events_and_has_the_shift() {
        let (trace_id, span_id) = (TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([1; 8]).unwrap());
        let mut span = Span::new(trace_id, span_id, Arc::default(), Arc::default());
        (span.start_ns, span.end_ns) = (5_000_000, 9_000_000);
        span.events = vec![Event { time_ns: 7_000_000, ..Event::default() }];
        shift_span(&mut span, -2_500_000);
        assert_eq!((span.start_ns, span.end_ns, span.events[0].time_ns), (2_500_000, 6_500_000, 4_500_000));
        assert_eq!(span.attributes, [KeyValue::new(keys::CLOCK_SHIFT_MS, -2.5)]);
        shift_span(&mut span, i64::MIN);
        assert_eq!(span.start_ns, 0, "the time saturates");
    }

    /// Returns a trace of a page, with requests that measured an offset, `(offset_ms, error_ms)`, and a server span for each.
    fn trace(number: u8, requests: &[(f64, Option<f64>)]) -> Vec<Span> {
        let trace_id = TraceId::from_bytes([number; 16]).unwrap();
        let id = |number: u64| SpanId::from_bytes((1 << 32 | number).to_be_bytes()).unwrap();
        let span = |number: u64, parent: Option<u64>| {
            let mut span = Span::new(trace_id, id(number), Arc::default(), Arc::default());
            (span.parent_span_id, span.start_ns, span.end_ns) = (parent.map(id), 5_000_000_000_000, 5_000_900_000_000);
            span
        };
        let mut spans = vec![span(1, None)];
        spans[0].attributes.push(KeyValue::new(keys::CLIENT_REPORTED, true));
        for (id, (offset_ms, error_ms)) in (2..).step_by(2).zip(requests) {
            let mut fetch = span(id, Some(1));
            fetch.attributes.push(KeyValue::new(keys::CLIENT_REPORTED, true));
            fetch.attributes.push(KeyValue::new(keys::CLOCK_OFFSET_MS, *offset_ms));
            fetch.attributes.extend(error_ms.map(|error_ms| KeyValue::new(keys::CLOCK_ERROR_MS, error_ms)));
            let mut server = span(id + 1, Some(id));
            server.kind = SpanKind::Server;
            spans.extend([fetch, server]);
        }
        spans
    }

    /// The inspector uses [`align`], which shifts the server's spans to the page's clock; this crate shifts the page's spans to the
    /// server's clock. The distance has to be the same.
    #[tokio::test]
    async fn a_trace_is_shifted_by_the_same_offset_as_in_the_inspector() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let traces: [&[(f64, Option<f64>)]; 5] = [
            &[],
            &[(3_600_000.0, Some(0.5))],
            &[(1_510.0, Some(20.0)), (1_500.0, Some(0.25)), (1_499.0, Some(5.0))],
            &[(-20.0, None), (-20.0, Some(3.0))],
            &[(7.0, Some(1.0)), (7.5, Some(1.0))],
        ];
        for (number, requests) in (1..).zip(traces) {
            let spans = trace(number, requests);
            store.append(spans.clone()).await.unwrap();
            let aligned = align(&spans.iter().map(clocked).collect::<Vec<ClockedSpan>>());
            let mut batch: Vec<(u64, Span)> = (1..).zip(spans.clone()).collect();
            Aligner::new(store.clone()).align(&mut batch).await.unwrap();
            let here: Vec<i64> = batch.iter().zip(&spans).map(|((_, after), before)| moved(before, after)).collect();
            let inspector: Vec<i64> = aligned.spans.iter().map(|span| span.shift_ns).collect();
            let between = |shifts: &[i64]| shifts.iter().map(|shift| shift - shifts[0]).collect::<Vec<_>>();
            assert_eq!(between(&here), between(&inspector), "{requests:?}");
            assert_eq!(here[0], aligned.page.map_or(0, |offset| offset.offset_ns), "{requests:?}");
        }
    }

    fn moved(before: &Span, after: &Span) -> i64 {
        i64::try_from(i128::from(after.start_ns) - i128::from(before.start_ns)).unwrap()
    }

    #[test]
    fn an_unknown_time_is_not_shifted() {
        let mut record = LogRecord::new(Arc::default(), Arc::default());
        record.observed_time_ns = 3;
        shift_log_record(&mut record, 2);
        assert_eq!((record.time_ns, record.observed_time_ns), (0, 5));
    }
}
