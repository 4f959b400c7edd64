//! Which traces go on: the rule, without any clock or file.

use std::{num::NonZeroU64, time::Duration};
use throughline_otlp::{KeyValue, LogRecord, Span, Value, context::TraceId};

/// `http.route` (semantic conventions, HTTP spans).
const HTTP_ROUTE: &str = "http.route";
/// How many traces one stands for, as Honeycomb reads it.
const SAMPLE_RATE: &str = "SampleRate";

/// Which traces an upstream gets. What is stored here does not depend on it.
///
/// A trace with an error in it goes on, so does one that was slow, and of the rest one in so many, which then says that it
/// stands for that many (`SampleRate`). It is judged whole, once nothing has been added to it for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingRule {
    /// Of those that are neither wrong nor slow one in so many goes on. 1 keeps all.
    pub one_in: NonZeroU64,
    /// What is slow: a span with `http.route` that lasts as long, where [`SamplingRule::slow_routes`] does not name its
    /// route; a root, where no span of the trace has a route. 1 s.
    pub slow: Duration,
    /// What is slow for single routes, as `http.route` has them.
    pub slow_routes: Vec<(String, Duration)>,
    /// How long nothing has to be added to a trace before it is judged. 10 s.
    pub quiet: Duration,
    /// After this long a trace is judged though it still grows. 60 s.
    pub longest: Duration,
    /// How long a decision is remembered: what comes later is judged anew, with all that is there then. 24 h.
    pub remember: Duration,
}

impl SamplingRule {
    /// One in so many, and everything that is wrong or takes a second.
    #[must_use]
    pub fn one_in(one_in: NonZeroU64) -> Self {
        Self {
            one_in,
            slow: Duration::from_secs(1),
            slow_routes: Vec::new(),
            quiet: Duration::from_secs(10),
            longest: Duration::from_mins(1),
            remember: Duration::from_hours(24),
        }
    }

    /// How many traces this one stands for, 0 if it does not go on.
    pub(crate) fn rate(&self, trace_id: TraceId, spans: &[Span], records: &[LogRecord]) -> u64 {
        let is_wrong = spans.iter().any(Span::is_error) || records.iter().any(|record| record.severity.is_error());
        if is_wrong || self.is_slow(spans) {
            return 1;
        }
        let one_in = self.one_in.get();
        // `scatter` is uniform below 2⁶⁴, so one in `one_in` lies below that part of it.
        if scatter(trace_id) <= u64::MAX / one_in { one_in } else { 0 }
    }

    fn is_slow(&self, spans: &[Span]) -> bool {
        let lasted = |span: &Span, limit: Duration| u128::from(span.duration_ns()) >= limit.as_nanos();
        let mut routed = spans.iter().filter_map(|span| Some((span, span.attribute(HTTP_ROUTE)?.as_str()?))).peekable();
        if routed.peek().is_none() {
            return spans.iter().any(|span| span.parent_span_id.is_none() && lasted(span, self.slow));
        }
        routed.any(|(span, route)| {
            let own = self.slow_routes.iter().find(|(name, _)| name == route);
            lasted(span, own.map_or(self.slow, |(_, limit)| *limit))
        })
    }
}

/// A number that looks random and is always the same for a trace, in every process and every version. The id's own digits are
/// not used as they are: a sampler before us may have chosen by them.
fn scatter(trace_id: TraceId) -> u64 {
    let id = u128::from_be_bytes(trace_id.to_bytes());
    mix(mix((id >> 64) as u64) ^ (id as u64))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit of the result depends on each bit given.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Says on a span how many it stands for. One that stood for several before stands for as many times more.
pub(crate) fn weigh(span: &mut Span, rate: u64) {
    if rate <= 1 {
        return;
    }
    let rate = i64::try_from(rate).unwrap_or(i64::MAX);
    match span.attributes.iter_mut().find(|attribute| attribute.key == SAMPLE_RATE) {
        Some(KeyValue { value: Value::Int(before), .. }) => *before = rate.saturating_mul((*before).max(1)),
        Some(other) => other.value = Value::Int(rate),
        None => span.attributes.push(KeyValue::new(SAMPLE_RATE, rate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use throughline_otlp::{Severity, Status, StatusCode, context::SpanId};

    const MS: u64 = 1_000_000;

    fn trace(number: u64) -> TraceId {
        TraceId::from_bytes((1 << 100 | u128::from(number)).to_be_bytes()).unwrap()
    }

    fn span(parent: bool, lasted_ms: u64, route: Option<&str>) -> Span {
        let id = SpanId::from_bytes([1; 8]).unwrap();
        let mut span = Span::new(trace(1), id, Arc::default(), Arc::default());
        span.parent_span_id = parent.then_some(id);
        (span.start_ns, span.end_ns) = (5 * MS, (5 + lasted_ms) * MS);
        span.attributes.extend(route.map(|route| KeyValue::new(HTTP_ROUTE, route)));
        span
    }

    /// Drops whatever is neither wrong nor slow.
    fn strict() -> SamplingRule {
        let mut rule = SamplingRule::one_in(NonZeroU64::MAX);
        rule.slow = Duration::from_millis(500);
        rule.slow_routes = vec![("/api/fast".to_owned(), Duration::from_millis(50))];
        rule
    }

    #[test]
    fn what_is_wrong_goes_on() {
        let mut failed = span(true, 1, None);
        failed.status = Status { code: StatusCode::Error, message: String::new() };
        assert_eq!(strict().rate(trace(1), &[span(false, 1, None), failed], &[]), 1);
        let mut said = LogRecord::new(Arc::default(), Arc::default());
        assert_eq!(strict().rate(trace(1), &[span(false, 1, None)], std::slice::from_ref(&said)), 0);
        said.severity = Severity::ERROR;
        assert_eq!(strict().rate(trace(1), &[span(false, 1, None)], &[said]), 1);
    }

    #[test]
    fn what_is_slow_depends_on_the_route() {
        for (spans, expected) in [
            (vec![span(false, 499, None)], 0),
            (vec![span(false, 500, None)], 1),
            (vec![span(true, 5000, None)], 0),
            (vec![span(true, 49, Some("/api/fast"))], 0),
            (vec![span(true, 50, Some("/api/fast"))], 1),
            (vec![span(true, 499, Some("/api/other"))], 0),
            (vec![span(true, 500, Some("/api/other"))], 1),
            // With a route in it, a page that took its time is not slow by that.
            (vec![span(false, 5000, None), span(true, 10, Some("/api/fast"))], 0),
        ] {
            assert_eq!(strict().rate(trace(1), &spans, &[]), expected, "{spans:?}");
        }
    }

    #[test]
    fn of_the_rest_one_in_so_many_and_always_the_same() {
        for one_in in [1, 2, 10, 100] {
            let rule = SamplingRule::one_in(NonZeroU64::new(one_in).unwrap());
            let rates: Vec<_> = (0..100_000).map(|number| rule.rate(trace(number), &[], &[])).collect();
            assert!(rates.iter().all(|rate| *rate == 0 || *rate == one_in));
            let stand_for = rates.iter().sum::<u64>();
            assert!((90_000..110_000).contains(&stand_for), "one in {one_in} stands for {stand_for} of 100000");
        }
        // These are promises: a later version that chose others would split traces between two processes.
        let rule = SamplingRule::one_in(NonZeroU64::new(4).unwrap());
        let kept: Vec<_> = (0..24).filter(|number| rule.rate(trace(*number), &[], &[]) > 0).collect();
        assert_eq!(kept, [0, 5, 10, 11]);
    }

    #[test]
    fn rates_multiply() {
        let mut fresh = span(false, 1, None);
        weigh(&mut fresh, 1);
        assert_eq!(fresh.attribute(SAMPLE_RATE), None);
        weigh(&mut fresh, 20);
        weigh(&mut fresh, 3);
        assert_eq!(fresh.attributes, [KeyValue::new(SAMPLE_RATE, 60)]);
        fresh.attributes = vec![KeyValue::new(SAMPLE_RATE, "many")];
        weigh(&mut fresh, 20);
        assert_eq!(fresh.attributes, [KeyValue::new(SAMPLE_RATE, 20)]);
    }
}
