//! The rule of tail sampling: which traces are forwarded.

use std::{num::NonZeroU64, time::Duration};
use throughline_context::TraceId;
use throughline_otlp::{KeyValue, Span, Value};
use throughline_store::{MAX_TEXT_CHARS, TraceFacts};

/// The attribute with the number of traces that a trace represents, as Honeycomb reads it.
const SAMPLE_RATE: &str = "SampleRate";

/// A rule that decides which traces are forwarded. Stored records do not depend on it.
///
/// Traces with an error and slow traces are always forwarded. Of the others, one in `one_in` is forwarded, with the attribute
/// `SampleRate` on its spans. A trace is decided as a whole, once no span has been added to it for a while, by its row in the
/// store, without reading its spans.
///
/// The row has the slowest [`MAX_ROUTES`](throughline_store::MAX_ROUTES) routes of a trace. If the trace had more, and the last of
/// them reached the lowest of the limits, the trace counts as slow: a trace may be forwarded needlessly, but no slow trace is
/// dropped. Routes are compared by their first [`MAX_TEXT_CHARS`] characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SamplingRule {
    /// Of the traces that neither failed nor were slow, one in this number is forwarded. 1 forwards all.
    pub one_in: NonZeroU64,
    /// The duration from which a trace is slow. It applies to spans with an `http.route` that is not in
    /// [`SamplingRule::slow_routes`]; if no span of the trace has a route, to the root. Default: 1 s.
    pub slow: Duration,
    /// The durations from which spans of single routes are slow, by `http.route`.
    pub slow_routes: Vec<(String, Duration)>,
    /// The time without new spans after which a trace is decided. Default: 10 s.
    pub quiet: Duration,
    /// The time after which a trace is decided even if it still gets new spans. Default: 60 s.
    pub longest: Duration,
    /// The time that a decision is kept. If spans arrive later, the trace is decided again. Default: 24 h.
    pub remember: Duration,
}

impl SamplingRule {
    /// Creates a rule that forwards one in `one_in` traces, and all traces that failed or took at least one second.
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

    /// Sets [`SamplingRule::slow`].
    #[must_use]
    pub const fn with_slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// Adds a route to [`SamplingRule::slow_routes`].
    #[must_use]
    pub fn with_slow_route(mut self, route: impl Into<String>, slow: Duration) -> Self {
        self.slow_routes.push((route.into(), slow));
        self
    }

    /// Sets [`SamplingRule::quiet`].
    #[must_use]
    pub const fn with_quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Sets [`SamplingRule::longest`].
    #[must_use]
    pub const fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Sets [`SamplingRule::remember`].
    #[must_use]
    pub const fn with_remember(mut self, remember: Duration) -> Self {
        self.remember = remember;
        self
    }

    /// Returns the number of traces that this one represents, 0 if it is not forwarded.
    pub(crate) fn rate(&self, trace_id: TraceId, facts: &TraceFacts) -> u64 {
        if facts.has_error || self.is_slow(facts) {
            return 1;
        }
        let one_in = self.one_in.get();
        // `scatter` is uniform below 2⁶⁴, so one in `one_in` results is below this bound.
        if scatter(trace_id) <= u64::MAX / one_in { one_in } else { 0 }
    }

    fn is_slow(&self, facts: &TraceFacts) -> bool {
        let lasted = |duration_ns: u64, limit: Duration| u128::from(duration_ns) >= limit.as_nanos();
        let Some((_, least_ns)) = facts.routes.last() else {
            return facts.slowest_root_ns.is_some_and(|root_ns| lasted(root_ns, self.slow));
        };
        let limits = self.slow_routes.iter().map(|(_, limit)| *limit);
        let least_limit = limits.fold(self.slow, Duration::min);
        (facts.has_more_routes && lasted(*least_ns, least_limit))
            || facts.routes.iter().any(|(route, duration_ns)| lasted(*duration_ns, self.slow_for(route)))
    }

    /// Returns the duration from which a request of this route is slow.
    fn slow_for(&self, route: &str) -> Duration {
        let own = self.slow_routes.iter().find(|(name, _)| name.chars().take(MAX_TEXT_CHARS).eq(route.chars()));
        own.map_or(self.slow, |(_, limit)| *limit)
    }
}

/// Returns a pseudorandom number that is the same for a trace in every process and every version. The digits of the id are not used
/// directly, because an earlier sampler may have used them for its decision.
fn scatter(trace_id: TraceId) -> u64 {
    let id = u128::from_be_bytes(trace_id.to_bytes());
    mix(mix((id >> 64) as u64) ^ (id as u64))
}

/// Applies the finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit of the result depends on each bit given.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Sets `SampleRate` on a span. If the span already has one, the rates are multiplied.
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
    use throughline_context::SpanId;

    const MS: u64 = 1_000_000;

    fn trace(number: u64) -> TraceId {
        TraceId::from_bytes((1 << 100 | u128::from(number)).to_be_bytes()).unwrap()
    }

    fn facts(root_ms: Option<u64>, routes: &[(&str, u64)]) -> TraceFacts {
        let mut facts = TraceFacts::default();
        facts.slowest_root_ns = root_ms.map(|ms| ms * MS);
        facts.routes = routes.iter().map(|(route, ms)| ((*route).to_owned(), ms * MS)).collect();
        facts
    }

    /// Returns a rule that drops all traces that are neither failed nor slow.
    fn strict() -> SamplingRule {
        let ms = Duration::from_millis;
        SamplingRule::one_in(NonZeroU64::MAX).with_slow(ms(500)).with_slow_route("/api/fast", ms(50))
    }

    #[test]
    fn a_failed_trace_is_forwarded() {
        let mut wrong = facts(Some(1), &[]);
        assert_eq!(strict().rate(trace(1), &wrong), 0);
        wrong.has_error = true;
        assert_eq!(strict().rate(trace(1), &wrong), 1);
    }

    #[test]
    fn the_limit_for_slow_depends_on_the_route() {
        for (facts, expected) in [
            (facts(Some(499), &[]), 0),
            (facts(Some(500), &[]), 1),
            (facts(None, &[]), 0),
            (facts(None, &[("/api/fast", 49)]), 0),
            (facts(None, &[("/api/fast", 50)]), 1),
            (facts(None, &[("/api/other", 499)]), 0),
            (facts(None, &[("/api/other", 500)]), 1),
            (facts(None, &[("/api/other", 60), ("/api/fast", 50)]), 1),
            // If the trace has a route, the duration of the root does not count.
            (facts(Some(5000), &[("/api/fast", 10)]), 0),
        ] {
            assert_eq!(strict().rate(trace(1), &facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn routes_that_are_not_kept_count_as_slow_as_the_last_kept_one() {
        for (least_ms, has_more_routes, expected) in [(49, true, 0), (50, true, 1), (50, false, 0)] {
            let mut many = facts(None, &[("/api/a", 300), ("/api/b", least_ms)]);
            many.has_more_routes = has_more_routes;
            assert_eq!(strict().rate(trace(1), &many), expected, "{many:?}");
        }
    }

    #[test]
    fn long_routes_are_compared_by_their_kept_characters() {
        let long = "é".repeat(600);
        let kept: String = long.chars().take(MAX_TEXT_CHARS).collect();
        let rule = strict().with_slow_route(long, Duration::from_millis(5));
        assert_eq!(rule.rate(trace(1), &facts(None, &[(kept.as_str(), 5)])), 1);
        assert_eq!(rule.rate(trace(1), &facts(None, &[("é", 5)])), 0);
    }

    #[test]
    fn the_sampling_of_other_traces_is_deterministic() {
        for one_in in [1, 2, 10, 100] {
            let rule = SamplingRule::one_in(NonZeroU64::new(one_in).unwrap());
            let rates: Vec<_> = (0..100_000).map(|number| rule.rate(trace(number), &TraceFacts::default())).collect();
            assert!(rates.iter().all(|rate| *rate == 0 || *rate == one_in));
            let represented = rates.iter().sum::<u64>();
            assert!((90_000..110_000).contains(&represented), "one in {one_in} represents {represented} of 100000");
        }
        // The choice must not change: versions that choose differently would split a trace between two processes.
        let rule = SamplingRule::one_in(NonZeroU64::new(4).unwrap());
        let kept: Vec<_> = (0..24).filter(|number| rule.rate(trace(*number), &TraceFacts::default()) > 0).collect();
        assert_eq!(kept, [0, 5, 10, 11]);
    }

    #[test]
    fn sample_rates_are_multiplied() {
        let mut fresh = Span::new(trace(1), SpanId::from_bytes([1; 8]).unwrap(), Arc::default(), Arc::default());
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
