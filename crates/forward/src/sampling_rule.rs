//! Which traces go on: the rule, without any clock or file.

use std::{num::NonZeroU64, time::Duration};
use throughline_context::TraceId;
use throughline_otlp::{KeyValue, Span, Value};
use throughline_store::{MAX_TEXT_CHARS, TraceFacts};

/// How many traces one stands for, as Honeycomb reads it.
const SAMPLE_RATE: &str = "SampleRate";

/// Which traces an upstream gets. What is stored here does not depend on it.
///
/// A trace with an error in it goes on, so does one that was slow, and of the rest one in so many, which then says that it
/// stands for that many (`SampleRate`). It is judged whole, once nothing has been added to it for a while, by what its row in the
/// store says: no span is read for it.
///
/// The row has the slowest [`MAX_ROUTES`](throughline_store::MAX_ROUTES) routes of a trace. Where there were more, and even the
/// last of these took as long as the least of the durations that are slow, the trace counts as slow: one too many may go on, and
/// none that is slow is left out. Routes are compared by their first [`MAX_TEXT_CHARS`] characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

    /// Sets [`SamplingRule::slow`].
    #[must_use]
    pub const fn with_slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// Adds to [`SamplingRule::slow_routes`].
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

    /// How many traces this one stands for, 0 if it does not go on.
    pub(crate) fn rate(&self, trace_id: TraceId, facts: &TraceFacts) -> u64 {
        if facts.has_error || self.is_slow(facts) {
            return 1;
        }
        let one_in = self.one_in.get();
        // `scatter` is uniform below 2⁶⁴, so one in `one_in` lies below that part of it.
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

    /// From when on a request of this route is slow.
    fn slow_for(&self, route: &str) -> Duration {
        let own = self.slow_routes.iter().find(|(name, _)| name.chars().take(MAX_TEXT_CHARS).eq(route.chars()));
        own.map_or(self.slow, |(_, limit)| *limit)
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

    /// Drops whatever is neither wrong nor slow.
    fn strict() -> SamplingRule {
        let ms = Duration::from_millis;
        SamplingRule::one_in(NonZeroU64::MAX).with_slow(ms(500)).with_slow_route("/api/fast", ms(50))
    }

    #[test]
    fn what_is_wrong_goes_on() {
        let mut wrong = facts(Some(1), &[]);
        assert_eq!(strict().rate(trace(1), &wrong), 0);
        wrong.has_error = true;
        assert_eq!(strict().rate(trace(1), &wrong), 1);
    }

    #[test]
    fn what_is_slow_depends_on_the_route() {
        for (facts, expected) in [
            (facts(Some(499), &[]), 0),
            (facts(Some(500), &[]), 1),
            (facts(None, &[]), 0),
            (facts(None, &[("/api/fast", 49)]), 0),
            (facts(None, &[("/api/fast", 50)]), 1),
            (facts(None, &[("/api/other", 499)]), 0),
            (facts(None, &[("/api/other", 500)]), 1),
            (facts(None, &[("/api/other", 60), ("/api/fast", 50)]), 1),
            // With a route in it, a page that took its time is not slow by that.
            (facts(Some(5000), &[("/api/fast", 10)]), 0),
        ] {
            assert_eq!(strict().rate(trace(1), &facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_route_that_is_not_kept_may_have_been_as_slow_as_the_last_that_is() {
        for (least_ms, has_more_routes, expected) in [(49, true, 0), (50, true, 1), (50, false, 0)] {
            let mut many = facts(None, &[("/api/a", 300), ("/api/b", least_ms)]);
            many.has_more_routes = has_more_routes;
            assert_eq!(strict().rate(trace(1), &many), expected, "{many:?}");
        }
    }

    #[test]
    fn long_routes_are_compared_as_far_as_they_are_kept() {
        let long = "é".repeat(600);
        let kept: String = long.chars().take(MAX_TEXT_CHARS).collect();
        let rule = strict().with_slow_route(long, Duration::from_millis(5));
        assert_eq!(rule.rate(trace(1), &facts(None, &[(kept.as_str(), 5)])), 1);
        assert_eq!(rule.rate(trace(1), &facts(None, &[("é", 5)])), 0);
    }

    #[test]
    fn of_the_rest_one_in_so_many_and_always_the_same() {
        for one_in in [1, 2, 10, 100] {
            let rule = SamplingRule::one_in(NonZeroU64::new(one_in).unwrap());
            let rates: Vec<_> = (0..100_000).map(|number| rule.rate(trace(number), &TraceFacts::default())).collect();
            assert!(rates.iter().all(|rate| *rate == 0 || *rate == one_in));
            let stand_for = rates.iter().sum::<u64>();
            assert!((90_000..110_000).contains(&stand_for), "one in {one_in} stands for {stand_for} of 100000");
        }
        // These are promises: a later version that chose others would split traces between two processes.
        let rule = SamplingRule::one_in(NonZeroU64::new(4).unwrap());
        let kept: Vec<_> = (0..24).filter(|number| rule.rate(trace(*number), &TraceFacts::default()) > 0).collect();
        assert_eq!(kept, [0, 5, 10, 11]);
    }

    #[test]
    fn rates_multiply() {
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
