//! Tests of the propagator with the real SDK, and with the carriers of other instrumentations.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context, KeyValue,
    baggage::{BaggageExt, KeyValueMetadata},
    propagation::TextMapPropagator,
    trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState, Tracer, TracerProvider},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use proptest::prelude::*;
use throughline_propagator::Propagator;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap()));
    pairs.collect()
}

fn extract(pairs: &[(&str, &str)]) -> Context {
    Propagator::new().extract_with_context(&Context::new(), &HeaderExtractor(&headers(pairs)))
}

fn inject(context: &Context) -> HeaderMap {
    let mut headers = HeaderMap::new();
    Propagator::new().inject_context(context, &mut HeaderInjector(&mut headers));
    headers
}

fn value(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Returns the headers that a child span of `context` in this process sends on.
fn below(context: &Context, sampler: impl ShouldSample + 'static) -> HeaderMap {
    let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
    let span = provider.tracer("test").start_with_context("child", context);
    inject(&context.with_span(span))
}

fn flags_below(flags: &str) -> String {
    let context = extract(&[("traceparent", &format!("{}{flags}", &PARENT[..53]))]);
    let sent = value(&below(&context, Sampler::ParentBased(Box::new(Sampler::AlwaysOn))), "traceparent");
    assert_eq!(sent[3..35], *TRACE);
    assert_ne!(sent[36..52], PARENT[36..52]);
    sent[53..].to_owned()
}

#[test]
fn an_extracted_context_is_injected_unchanged() {
    let pairs = [("traceparent", PARENT), ("tracestate", "foo=1,bar=2"), ("baggage", "a=1,b=%20;p;q=2")];
    let sent = inject(&extract(&pairs));
    for (name, expected) in pairs {
        assert_eq!(value(&sent, name), expected);
    }
    assert_eq!(sent.len(), 3);
    let propagator = Propagator::default();
    assert_eq!(propagator.fields().collect::<Vec<_>>(), ["traceparent", "tracestate", "baggage"]);
}

#[test]
fn a_map_of_single_values_is_a_valid_carrier() {
    let carrier = HashMap::from([("traceparent".to_owned(), PARENT.to_owned())]);
    let context = Propagator::new().extract(&carrier);
    let mut sent = HashMap::new();
    Propagator::new().inject_context(&context, &mut sent);
    assert_eq!(sent, carrier);
}

#[test]
fn invalid_headers_leave_the_context_unchanged() {
    let before = extract(&[("traceparent", PARENT), ("baggage", "a=1")]);
    for pairs in [
        &[][..],
        &[("traceparent", "00-invalid"), ("tracestate", "foo=1"), ("baggage", "%,=")],
        &[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "foo=1")],
        &[("tracestate", "foo=1")],
    ] {
        let after = Propagator::new().extract_with_context(&before, &HeaderExtractor(&headers(pairs)));
        let sent = inject(&after);
        assert_eq!(value(&sent, "traceparent"), PARENT);
        assert_eq!((value(&sent, "tracestate"), value(&sent, "baggage")), (String::new(), "a=1".to_owned()));
        assert!(!extract(pairs).has_active_span());
    }
}

#[test]
fn nothing_is_injected_outside_of_a_trace() {
    assert!(inject(&Context::new()).is_empty());
}

#[test]
fn tracestate_headers_are_one_list_that_one_malformed_header_drops() {
    let list = |headers: &[&str]| {
        let mut pairs = vec![("traceparent", PARENT)];
        pairs.extend(headers.iter().map(|value| ("tracestate", *value)));
        let sent = inject(&extract(&pairs));
        assert_eq!(value(&sent, "traceparent"), PARENT);
        value(&sent, "tracestate")
    };
    assert_eq!(list(&["foo=1 , bar=2", "", "baz=3"]), "foo=1,bar=2,baz=3");
    assert_eq!(list(&["foo=1", "BAR=2"]), "");
    assert_eq!(list(&["foo=1", "foo=2"]), "");
}

#[test]
fn the_random_flag_is_kept_unchanged() {
    for (received, sent) in [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")] {
        assert_eq!(flags_below(received), sent, "{received}");
    }
}

#[test]
fn a_new_trace_is_random() {
    for (sampler, flags) in [(Sampler::AlwaysOn, "03"), (Sampler::AlwaysOff, "02")] {
        assert_eq!(value(&below(&Context::new(), sampler), "traceparent")[53..], *flags);
    }
    // The flag of an extracted trace does not apply to another trace.
    let note = extract(&[("traceparent", PARENT)]);
    let provider = SdkTracerProvider::builder().build();
    let root = provider.tracer("test").start_with_context("root", &Context::new());
    assert_eq!(value(&inject(&note.with_span(root)), "traceparent")[53..], *"03");
}

/// A key that the specification allows and opentelemetry's own type rejects.
const LONG_KEY: &str = "tenant@fourteen-chars";

#[test]
fn members_that_opentelemetry_rejects_keep_their_position() {
    assert_eq!(LONG_KEY.split_once('@').unwrap().1.len(), 14);
    let list = format!("foo=1,{LONG_KEY}=2,bar=3");
    let context = extract(&[("traceparent", PARENT), ("tracestate", &list)]);
    assert_eq!(value(&inject(&context), "tracestate"), list);
    assert_eq!(value(&below(&context, Sampler::AlwaysOn), "tracestate"), list);
    assert_eq!(value(&below(&context, Sampler::AlwaysOff), "tracestate"), list);
}

/// A sampler that changes the `tracestate`, like probability samplers.
#[derive(Clone, Debug)]
struct ChangesState(fn(&TraceState) -> TraceState);

impl ShouldSample for ChangesState {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let state = parent.map(|parent| parent.span().span_context().trace_state().clone()).unwrap_or_default();
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: (self.0)(&state),
        }
    }
}

#[test]
fn members_added_by_a_sampler_come_first() {
    for long in ["x", LONG_KEY] {
        let list = format!("foo=1,{long}=2,ot=3");
        let context = extract(&[("traceparent", PARENT), ("tracestate", &list)]);
        let written = below(&context, ChangesState(|state| state.insert("ot", "th:8").unwrap()));
        assert_eq!(value(&written, "tracestate"), format!("ot=th:8,foo=1,{long}=2"));
        let both = below(&context, ChangesState(|state| state.insert("a", "1").unwrap().insert("b", "2").unwrap()));
        assert_eq!(value(&both, "tracestate"), format!("b=2,a=1,{list}"));
        let removed = below(&context, ChangesState(|state| state.delete("foo").unwrap()));
        assert_eq!(value(&removed, "tracestate"), format!("{long}=2,ot=3"));
        // Receivers drop an invalid list.
        let invalid = below(&context, ChangesState(|state| state.insert("ot", "ü").unwrap()));
        assert_eq!(value(&invalid, "tracestate"), "");
    }
}

#[test]
fn the_last_of_32_members_is_dropped_for_a_new_one() {
    let members: Vec<_> = (0..32).map(|n| format!("k{n}=1")).collect();
    let context = extract(&[("traceparent", PARENT), ("tracestate", &members.join(","))]);
    let sent = value(&below(&context, ChangesState(|state| state.insert("ot", "1").unwrap())), "tracestate");
    assert_eq!(sent, format!("ot=1,{}", members[..31].join(",")));
}

#[test]
fn baggage_is_read_from_all_headers_and_properties_are_kept() {
    let context = extract(&[("baggage", "a=1;p=%41;q"), ("baggage", "b=%C3%A9"), ("baggage", "broken")]);
    assert_eq!(context.baggage().get("b").unwrap().as_str(), "é");
    assert_eq!(value(&inject(&context), "baggage"), "a=1;p=%41;q,b=%C3%A9");
}

#[test]
fn baggage_stays_within_its_limits_without_partial_members() {
    let many = (0..70).map(|n| KeyValue::new(format!("k{n:02}"), "v"));
    let sent = value(&inject(&Context::new().with_baggage(many)), "baggage");
    assert_eq!(sent.split(',').count(), 64);

    // 8,000 bytes in memory, and three times as much when encoded.
    let long = (0..8).map(|n| KeyValue::new(format!("k{n}"), " ".repeat(999)));
    let sent = value(&inject(&Context::new().with_baggage(long)), "baggage");
    assert_eq!(sent, format!("k0={0},k1={0}", "%20".repeat(999)));

    let odd = [KeyValueMetadata::new("a", "1", "p q"), KeyValueMetadata::new("b", "2", "p")];
    assert_eq!(value(&inject(&Context::new().with_baggage(odd)), "baggage"), "b=2;p");
}

proptest! {
    #[test]
    fn valid_headers_round_trip(
        trace in "[0-9a-f]{31}[1-9a-f]",
        span in "[0-9a-f]{15}[1-9a-f]",
        flags in 0..4_u8,
        states in prop::collection::btree_map(
            "[a-z0-9][a-z0-9_*/-]{0,20}(@[a-z0-9][a-z0-9_*/-]{0,13})?", "[ -+--<>-~]{0,20}[!-+--<>-~]", 0..=32,
        ),
        baggage in prop::collection::btree_map("[a-zA-Z0-9!#$&'*+.^_`|~-]{1,12}", "[a-z]{0,20}(;[a-z]{1,3}(=[a-z%]{0,3})?)?", 0..20),
    ) {
        let join = |pairs: &std::collections::BTreeMap<String, String>| {
            pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
        };
        let parent = format!("00-{trace}-{span}-{flags:02x}");
        let (states, baggage) = (join(&states), join(&baggage));
        let context = extract(&[("traceparent", &parent), ("tracestate", &states), ("baggage", &baggage)]);
        let sent = inject(&context);
        prop_assert_eq!(value(&sent, "traceparent"), &*parent);
        prop_assert_eq!(value(&sent, "tracestate"), &*states);
        prop_assert_eq!(value(&sent, "baggage"), baggage);
        let below = below(&context, Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
        prop_assert_eq!(&value(&below, "traceparent")[53..], &parent[53..]);
        prop_assert_eq!(value(&below, "tracestate"), states);
    }

    #[test]
    fn any_headers_do_not_panic(values: Vec<Vec<u8>>, near in prop::collection::vec("[0-9a-f@=,;% -]{0,80}", 0..6)) {
        let values = values.into_iter().chain(near.into_iter().map(String::into_bytes));
        let mut headers = HeaderMap::new();
        for (index, value) in values.enumerate() {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(["traceparent", "tracestate", "baggage"][index % 3], value);
            }
        }
        let context = Propagator::new().extract_with_context(&Context::new(), &HeaderExtractor(&headers));
        let sent = inject(&context);
        // Injected headers are extracted unchanged.
        let again = Propagator::new().extract_with_context(&Context::new(), &HeaderExtractor(&sent));
        prop_assert_eq!(inject(&again), sent);
    }
}
