//! Alignment of spans to one clock, and warnings about them. Stored times are not changed; the offsets are computed by
//! [`throughline_timing::align`].

use std::collections::{HashMap, HashSet};

use throughline_context::{SpanId, keys};
use throughline_inspector_api::Warning;
use throughline_otlp::{LogRecord, Span, Value, clocked, measured_offset};
use throughline_timing::{ClockedSpan, Join, MeasuredOffset, align};

/// A span that ended longer than this after its receipt has a wrong clock.
const AHEAD_SLACK_NS: i128 = 5_000_000_000;
/// A span that was received longer than this after its end was delayed offline, or has a wrong clock.
const LATE_SLACK_NS: i128 = 24 * 3_600 * 1_000_000_000;

/// The alignment of one span, and its warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The offset that converts its times to the clock of the trace's root, in nanoseconds.
    pub(crate) align_ns: i64,
    pub(crate) warnings: Vec<Warning>,
}

/// Aligns every span of a trace, in the order of the input.
pub(crate) fn place(spans: &[Span]) -> Vec<Placed> {
    let ids: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let clocked: Vec<ClockedSpan> = spans.iter().map(clocked).collect();
    let alignment = align(&clocked);
    let placed = spans.iter().zip(&alignment.spans).map(|(span, aligned)| {
        let mut warnings = Vec::new();
        if span.parent_span_id.is_some_and(|parent| !ids.contains(&parent)) {
            warnings.push(Warning::Orphan);
        }
        if span.end_ns < span.start_ns || received_oddly(span, alignment.page) {
            warnings.push(Warning::ClockInconsistent);
        }
        if aligned.join == Some(Join::SticksOut) {
            warnings.push(Warning::UnverifiedJoin);
        }
        Placed { align_ns: aligned.shift_ns, warnings }
    });
    placed.collect()
}

/// Returns the offset for the time of each log record, in the order of the input. `placed` has the alignment of the spans.
///
/// A record has the clock of its service: the offset is that of its span if the span is of the same service, else that of
/// the first span of the service.
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

/// Returns whether the end of a browser's span is inconsistent with its time of receipt.
fn received_oddly(span: &Span, page: Option<MeasuredOffset>) -> bool {
    let Some(Value::Int(received_ns)) = span.attribute(keys::RECEIVED_NS) else { return false };
    let Some(offset) = measured_offset(span).or(page) else { return false };
    let waited_ns = i128::from(*received_ns) - (i128::from(span.end_ns) + i128::from(offset.offset_ns));
    !(-AHEAD_SLACK_NS..=LATE_SLACK_NS).contains(&waited_ns)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use throughline_context::TraceId;
    use throughline_otlp::{KeyValue, Resource, SpanKind};

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
    fn the_server_span_and_its_descendants_move_into_the_browsers_clock() {
        let placed = place(&trace(0));
        assert_eq!(placed.iter().map(|p| p.align_ns).collect::<Vec<_>>(), [0, 0, -HOUR_NS, -HOUR_NS]);
        assert!(placed.iter().all(|p| p.warnings.is_empty()));
    }

    #[test]
    fn log_records_have_the_offset_of_their_service() {
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
            // A page that refers to the server's span uses its own clock.
            record("web", Some(3)),
            record("elsewhere", None),
        ];
        let aligned = align_logs(&records, &spans, &place(&spans));
        assert_eq!(aligned, [0, 0, 0, -HOUR_NS, -HOUR_NS, 0, 0]);
    }

    #[test]
    fn a_server_span_outside_its_fetch_span_has_a_warning() {
        assert_eq!(place(&trace(40))[2].warnings, [Warning::UnverifiedJoin]);
    }

    #[test]
    fn orphans_and_cycles_are_handled() {
        let placed = place(&[
            span(1, Some(2), SpanKind::Internal, 1, 2),
            span(2, Some(1), SpanKind::Internal, 1, 2),
            span(3, Some(9), SpanKind::Internal, 5, 2),
        ]);
        assert_eq!(placed[0], Placed::default());
        assert_eq!(placed[2].warnings, [Warning::Orphan, Warning::ClockInconsistent]);
    }

    #[test]
    fn a_span_received_long_before_it_ended_has_a_warning() {
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
