//! Clock measurements in the spans of a page, for the alignment of its clock with the server's.

use throughline_context::{SpanId, keys};
use throughline_timing::{ClockedSpan, MeasuredOffset};

use crate::{KeyValue, Span, SpanKind, Value, value};

/// Returns the clock offset that a fetch span has measured ([`keys::CLOCK_OFFSET_MS`], [`keys::CLOCK_ERROR_MS`]), or
/// `None` if it has no valid measurement.
#[must_use]
pub fn measured_offset(span: &Span) -> Option<MeasuredOffset> {
    let offset_ns = match span.attribute(keys::CLOCK_OFFSET_MS)? {
        Value::Double(offset_ms) if offset_ms.is_finite() => (offset_ms * 1e6).round() as i64,
        Value::Int(offset_ms) => offset_ms.checked_mul(1_000_000)?,
        _ => return None,
    };
    let error_ms = span.attribute(keys::CLOCK_ERROR_MS).and_then(Value::as_f64);
    let error_ns = error_ms.filter(|error_ms| error_ms.is_finite() && *error_ms >= 0.0);
    Some(MeasuredOffset { offset_ns, error_ns: error_ns.map(|error_ms| (error_ms * 1e6).ceil() as u64) })
}

/// Converts a span to the form that [`align`](throughline_timing::align) requires.
#[must_use]
pub fn clocked(span: &Span) -> ClockedSpan {
    let id = |id: SpanId| u64::from_be_bytes(id.to_bytes());
    ClockedSpan {
        id: id(span.span_id),
        parent: span.parent_span_id.map(id),
        is_server: span.kind == SpanKind::Server,
        start_ns: span.start_ns,
        end_ns: span.end_ns,
        offset: measured_offset(span),
    }
}

/// Returns whether a page reported the record: [`keys::CLIENT_REPORTED`] is true.
#[must_use]
pub fn is_client_reported(attributes: &[KeyValue]) -> bool {
    value::find(attributes, keys::CLIENT_REPORTED).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use throughline_context::TraceId;

    fn fetch(offset: impl Into<Value>, error_ms: Option<f64>) -> Span {
        let (trace_id, span_id) = (TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([1; 8]).unwrap());
        let mut span = Span::new(trace_id, span_id, Arc::default(), Arc::default());
        span.attributes.push(KeyValue::new(keys::CLOCK_OFFSET_MS, offset));
        span.attributes.extend(error_ms.map(|error_ms| KeyValue::new(keys::CLOCK_ERROR_MS, error_ms)));
        span
    }

    #[test]
    fn an_offset_and_its_error_are_in_milliseconds() {
        let measured = |offset_ns, error_ns| Some(MeasuredOffset { offset_ns, error_ns });
        assert_eq!(measured_offset(&fetch(1.5, None)), measured(1_500_000, None));
        assert_eq!(measured_offset(&fetch(-2, Some(0.25))), measured(-2_000_000, Some(250_000)));
        for unknown in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(measured_offset(&fetch(1, Some(unknown))), measured(1_000_000, None));
        }
        for none in [Value::from(f64::NAN), Value::from(f64::INFINITY), Value::from(i64::MAX), Value::from("3")] {
            assert_eq!(measured_offset(&fetch(none, None)), None);
        }
    }

    #[test]
    fn a_clocked_span_has_the_ids_kind_and_times_of_the_span() {
        let mut span = fetch(1, None);
        span.parent_span_id = SpanId::from_bytes([0, 0, 0, 0, 0, 0, 1, 2]);
        (span.start_ns, span.end_ns) = (5, 7);
        let of = clocked(&span);
        assert_eq!((of.id, of.parent), (0x0101_0101_0101_0101, Some(0x0102)));
        assert_eq!((of.is_server, of.start_ns, of.end_ns, of.offset), (false, 5, 7, measured_offset(&span)));
        span.kind = SpanKind::Server;
        assert!(clocked(&span).is_server);
    }
}
