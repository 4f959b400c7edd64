//! What the spans of a trace know about the clock of the page that made some of them.

use throughline_context::keys;

use crate::{KeyValue, Span, Value, value};

/// Server clock minus browser clock in nanoseconds, as a fetch span learnt it
/// ([`keys::CLOCK_OFFSET_MS`]); `None` where it learnt none.
#[must_use]
pub fn clock_offset_ns(span: &Span) -> Option<i64> {
    match span.attribute(keys::CLOCK_OFFSET_MS)? {
        Value::Double(offset_ms) if offset_ms.is_finite() => Some((offset_ms * 1e6).round() as i64),
        Value::Int(offset_ms) => offset_ms.checked_mul(1_000_000),
        _ => None,
    }
}

/// What to add to the times of a page to see them in the server's clock, nanoseconds, from all spans of one trace.
///
/// Fetch spans alone know it; the others of the page share their clock. The one that is wrong by the least at most
/// ([`keys::CLOCK_ERROR_MS`]) is taken, the first of equals.
#[must_use]
pub fn page_clock_offset_ns(spans: &[Span]) -> Option<i64> {
    let error_ms = |span: &Span| {
        let error_ms = span.attribute(keys::CLOCK_ERROR_MS).and_then(Value::as_f64);
        error_ms.filter(|error_ms| *error_ms >= 0.0).unwrap_or(f64::INFINITY)
    };
    let known = spans.iter().filter_map(|span| Some((error_ms(span), clock_offset_ns(span)?)));
    known.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, offset_ns)| offset_ns)
}

/// Whether a page said it: [`keys::CLIENT_REPORTED`] is true.
#[must_use]
pub fn is_client_reported(attributes: &[KeyValue]) -> bool {
    value::find(attributes, keys::CLIENT_REPORTED).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use throughline_context::{SpanId, TraceId};

    fn fetch(offset: impl Into<Value>, error_ms: Option<f64>) -> Span {
        let (trace_id, span_id) = (TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([1; 8]).unwrap());
        let mut span = Span::new(trace_id, span_id, Arc::default(), Arc::default());
        span.attributes.push(KeyValue::new(keys::CLOCK_OFFSET_MS, offset));
        span.attributes.extend(error_ms.map(|error_ms| KeyValue::new(keys::CLOCK_ERROR_MS, error_ms)));
        span
    }

    #[test]
    fn an_offset_is_a_number_of_milliseconds() {
        assert_eq!(clock_offset_ns(&fetch(1.5, None)), Some(1_500_000));
        assert_eq!(clock_offset_ns(&fetch(-2, None)), Some(-2_000_000));
        for none in [Value::from(f64::NAN), Value::from(f64::INFINITY), Value::from(i64::MAX), Value::from("3")] {
            assert_eq!(clock_offset_ns(&fetch(none, None)), None);
        }
    }

    #[test]
    fn the_best_known_offset_is_that_of_the_trace() {
        let spans = [fetch(1.0, None), fetch(2.0, Some(9.0)), fetch(3.0, Some(0.5)), fetch(4.0, Some(0.5))];
        assert_eq!(page_clock_offset_ns(&spans), Some(3_000_000));
        assert_eq!(page_clock_offset_ns(&spans[..1]), Some(1_000_000));
        assert_eq!(page_clock_offset_ns(&[]), None);
    }
}
