//! Spans in one clock. Stored times stay as they are: this only says what to add to them, and what to doubt.

use std::collections::HashMap;

use throughline_context::{SpanId, keys};
use throughline_inspector_api::Warning;
use throughline_otlp::{LogRecord, Span, SpanKind, Value, clock_offset_ns, page_clock_offset_ns};

/// How far a server span may stick out of its fetch span before the join is doubted: rounding of both clocks.
const JOIN_SLACK_NS: i128 = 1_000_000;
/// A span that ended this long after it was received was not timed by a clock that we understand.
const AHEAD_SLACK_NS: i128 = 5_000_000_000;
/// A span that was received this long after it ended may have waited offline, or its clock is wrong.
const LATE_SLACK_NS: i128 = 24 * 3_600 * 1_000_000_000;

/// What is known of one span besides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// What to add to its times to see them in the clock of the trace's root, nanoseconds.
    pub(crate) align_ns: i64,
    pub(crate) warnings: Vec<Warning>,
}

/// Places every span of a trace, in the order given.
///
/// Where a server span answers a fetch span that knows the offset between the two clocks, that offset is taken off it and off
/// everything below it.
pub(crate) fn place(spans: &[Span]) -> Vec<Placed> {
    let index: HashMap<SpanId, usize> = spans.iter().enumerate().map(|(n, span)| (span.span_id, n)).collect();
    let mut offsets: Vec<Option<i64>> = vec![None; spans.len()];
    for n in 0..spans.len() {
        resolve(n, spans, &index, &mut offsets);
    }
    let browser_offset_ns = page_clock_offset_ns(spans);
    spans
        .iter()
        .enumerate()
        .map(|(n, span)| {
            let align_ns = offsets[n].unwrap_or_default();
            let mut warnings = Vec::new();
            let parent = span.parent_span_id.and_then(|id| index.get(&id));
            if span.parent_span_id.is_some() && parent.is_none() {
                warnings.push(Warning::Orphan);
            }
            if span.end_ns < span.start_ns || received_oddly(span, browser_offset_ns) {
                warnings.push(Warning::ClockInconsistent);
            }
            if let Some(parent) = parent
                && span.kind == SpanKind::Server
                && clock_offset_ns(&spans[*parent]).is_some()
                && !fits(span, align_ns, &spans[*parent], offsets[*parent].unwrap_or_default())
            {
                warnings.push(Warning::UnverifiedJoin);
            }
            Placed { align_ns, warnings }
        })
        .collect()
}

/// What to add to the time of each log record, in the order given. `placed` says where the spans of the trace are.
///
/// Its clock is its maker's: that of its span, where that is of the same program, else of any other span of it.
pub(crate) fn align_logs(records: &[LogRecord], spans: &[Span], placed: &[Placed]) -> Vec<i64> {
    let by_id: HashMap<SpanId, usize> = spans.iter().enumerate().map(|(n, span)| (span.span_id, n)).collect();
    let mut by_service: HashMap<&str, usize> = HashMap::new();
    for (n, span) in spans.iter().enumerate() {
        by_service.entry(span.service_name()).or_insert(n);
    }
    records
        .iter()
        .map(|record| {
            let own = record.span_id.and_then(|id| by_id.get(&id));
            own.filter(|n| spans[**n].service_name() == record.service_name())
                .or_else(|| by_service.get(record.service_name()))
                .and_then(|n| placed.get(*n))
                .map_or(0, |placed| placed.align_ns)
        })
        .collect()
}

/// The alignment of span `n`, by way of its ancestors; a cycle among them ends the walk.
fn resolve(n: usize, spans: &[Span], index: &HashMap<SpanId, usize>, offsets: &mut [Option<i64>]) {
    let mut path = Vec::new();
    let mut at = n;
    let mut align_ns = loop {
        if let Some(known) = offsets[at] {
            break known;
        }
        path.push(at);
        match spans[at].parent_span_id.and_then(|id| index.get(&id)) {
            Some(&parent) if !path.contains(&parent) => at = parent,
            _ => break 0,
        }
    };
    for at in path.into_iter().rev() {
        let parent = spans[at].parent_span_id.and_then(|id| index.get(&id)).map(|&parent| &spans[parent]);
        if spans[at].kind == SpanKind::Server
            && let Some(offset_ns) = parent.and_then(clock_offset_ns)
        {
            align_ns = align_ns.saturating_sub(offset_ns);
        }
        offsets[at] = Some(align_ns);
    }
}

fn fits(inner: &Span, inner_align_ns: i64, outer: &Span, outer_align_ns: i64) -> bool {
    let at = |time_ns: u64, align_ns: i64| i128::from(time_ns) + i128::from(align_ns);
    at(inner.start_ns, inner_align_ns) + JOIN_SLACK_NS >= at(outer.start_ns, outer_align_ns)
        && at(inner.end_ns, inner_align_ns) <= at(outer.end_ns, outer_align_ns) + JOIN_SLACK_NS
}

/// Whether a browser's span lies where its time of receipt makes no sense.
fn received_oddly(span: &Span, browser_offset_ns: Option<i64>) -> bool {
    let Some(Value::Int(received_ns)) = span.attribute(keys::RECEIVED_NS) else { return false };
    let Some(offset_ns) = clock_offset_ns(span).or(browser_offset_ns) else { return false };
    let waited_ns = i128::from(*received_ns) - (i128::from(span.end_ns) + i128::from(offset_ns));
    !(-AHEAD_SLACK_NS..=LATE_SLACK_NS).contains(&waited_ns)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use throughline_context::TraceId;
    use throughline_otlp::{KeyValue, Resource};

    use super::*;

    const MS: u64 = 1_000_000;
    const HOUR_NS: i64 = 3_600_000_000_000;

    fn span(id: u8, parent: Option<u8>, kind: SpanKind, start_ms: u64, end_ms: u64) -> Span {
        Span {
            trace_id: TraceId::from_bytes([7; 16]).unwrap(),
            span_id: SpanId::from_bytes([id; 8]).unwrap(),
            parent_span_id: parent.and_then(|id| SpanId::from_bytes([id; 8])),
            kind,
            start_ns: start_ms * MS,
            end_ns: end_ms * MS,
            ..Span::new(
                TraceId::from_bytes([7; 16]).unwrap(),
                SpanId::from_bytes([id; 8]).unwrap(),
                Arc::default(),
                Arc::default(),
            )
        }
    }

    fn with(mut span: Span, key: &str, value: Value) -> Span {
        span.attributes.push(KeyValue { key: key.to_owned(), value });
        span
    }

    fn trace(server_shift_ms: u64) -> Vec<Span> {
        let base = 100_000_000;
        let hour = 3_600_000;
        vec![
            span(1, None, SpanKind::Internal, base, base + 100),
            with(
                span(2, Some(1), SpanKind::Client, base + 10, base + 90),
                keys::CLOCK_OFFSET_MS,
                Value::Double(HOUR_NS as f64 / 1e6),
            ),
            span(3, Some(2), SpanKind::Server, base + hour + 30 + server_shift_ms, base + hour + 60 + server_shift_ms),
            span(4, Some(3), SpanKind::Internal, base + hour + 40, base + hour + 50),
        ]
    }

    #[test]
    fn the_server_and_all_below_it_move_into_the_browsers_clock() {
        let placed = place(&trace(0));
        assert_eq!(placed.iter().map(|p| p.align_ns).collect::<Vec<_>>(), [0, 0, -HOUR_NS, -HOUR_NS]);
        assert!(placed.iter().all(|p| p.warnings.is_empty()));
    }

    #[test]
    fn log_records_move_as_the_spans_of_their_service_do() {
        let of = |service: &str| {
            Arc::new(Resource { attributes: vec![KeyValue::new("service.name", service)], ..Resource::default() })
        };
        let mut spans = trace(0);
        for (span, service) in spans.iter_mut().zip(["web", "web", "api", "api"]) {
            span.resource = of(service);
        }
        let record = |service, span: Option<u8>| {
            let mut record = LogRecord::new(of(service), Arc::default());
            record.span_id = span.and_then(|id| SpanId::from_bytes([id; 8]));
            record
        };
        let records = [
            record("web", Some(1)),
            record("web", None),
            record("web", Some(9)),
            record("api", Some(4)),
            record("api", None),
            // A page that speaks of the server's span does so by its own clock.
            record("web", Some(3)),
            record("elsewhere", None),
        ];
        let aligned = align_logs(&records, &spans, &place(&spans));
        assert_eq!(aligned, [0, 0, 0, -HOUR_NS, -HOUR_NS, 0, 0]);
    }

    #[test]
    fn a_server_span_outside_its_fetch_span_is_not_believed() {
        assert_eq!(place(&trace(40))[2].warnings, [Warning::UnverifiedJoin]);
    }

    #[test]
    fn orphans_and_cycles_are_survived() {
        let placed = place(&[
            span(1, Some(2), SpanKind::Internal, 1, 2),
            span(2, Some(1), SpanKind::Internal, 1, 2),
            span(3, Some(9), SpanKind::Internal, 5, 2),
        ]);
        assert_eq!(placed[0], Placed::default());
        assert_eq!(placed[2].warnings, [Warning::Orphan, Warning::ClockInconsistent]);
    }

    #[test]
    fn a_span_received_long_before_it_ended_is_doubted() {
        let mut spans = trace(0);
        let received = |shift_ms: i64| {
            let end_ns = i64::try_from(spans[1].end_ns).unwrap();
            Value::Int(end_ns + HOUR_NS + shift_ms * 1_000_000)
        };
        let (good, bad) = (received(1000), received(-60_000));
        spans[1] = with(spans[1].clone(), keys::RECEIVED_NS, good);
        assert!(place(&spans)[1].warnings.is_empty());
        spans[1].attributes.pop();
        spans[1] = with(spans[1].clone(), keys::RECEIVED_NS, bad);
        assert_eq!(place(&spans)[1].warnings, [Warning::ClockInconsistent]);
    }
}
