//! Tests of B3 and AWS X-Ray, alone and together with W3C Trace Context.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::HashMap;

use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    propagation::TextMapPropagator,
    trace::{TraceContextExt, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use proptest::prelude::*;
use throughline_propagator::Propagator;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_SPAN: &str = "00f067aa0ba902b7";
const ROOT: &str = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";

fn carrier(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn extract(names: &str, pairs: &[(&str, &str)]) -> Context {
    Propagator::from_names(names).unwrap().extract_with_context(&Context::new(), &carrier(pairs))
}

fn inject(names: &str, context: &Context) -> HashMap<String, String> {
    let mut sent = HashMap::new();
    Propagator::from_names(names).unwrap().inject_context(context, &mut sent);
    sent
}

/// Returns the trace id, the span id and whether the span is sampled; `None` without a remote span.
fn caller(context: &Context) -> Option<(String, String, bool)> {
    let span = context.span();
    let caller = span.span_context();
    assert_eq!(caller.is_valid(), caller.is_remote());
    caller.is_valid().then(|| (caller.trace_id().to_string(), caller.span_id().to_string(), caller.is_sampled()))
}

fn some_caller(trace: &str, span: &str, is_sampled: bool) -> Option<(String, String, bool)> {
    Some((trace.to_owned(), span.to_owned(), is_sampled))
}

#[test]
fn the_single_b3_header_is_extracted() {
    for (value, is_sampled) in [
        (format!("{TRACE}-{SPAN}-1"), true),
        (format!("{TRACE}-{SPAN}-0"), false),
        (format!("{TRACE}-{SPAN}-d"), true),
        (format!(" {TRACE}-{SPAN}-0-{OTHER_SPAN} "), false),
        // The decision is deferred.
        (format!("{TRACE}-{SPAN}"), true),
    ] {
        for names in ["b3", "b3multi"] {
            assert_eq!(
                caller(&extract(names, &[("b3", &value)])),
                some_caller(TRACE, SPAN, is_sampled),
                "{names}: {value}"
            );
        }
    }
    let short = format!("{}-{SPAN}-1", &TRACE[16..]);
    let padded = format!("{}{}", "0".repeat(16), &TRACE[16..]);
    assert_eq!(caller(&extract("b3", &[("b3", &short)])), some_caller(&padded, SPAN, true), "64 bits");
    for value in [
        "0",
        "1",
        "d",
        "",
        "-",
        &format!("{TRACE}-{SPAN}-2"),
        &format!("{TRACE}-{SPAN}-1-"),
        &format!("{TRACE}-{SPAN}-1-{SPAN}-1"),
        &format!("{}-{SPAN}-1", TRACE.to_uppercase()),
        &format!("{}-{SPAN}-1", &TRACE[1..]),
        &format!("{TRACE}-{}-1", "0".repeat(16)),
        &format!("{}-{SPAN}-1", "0".repeat(32)),
    ] {
        assert_eq!(caller(&extract("b3", &[("b3", value)])), None, "{value}");
    }
}

#[test]
fn the_multiple_b3_headers_are_extracted() {
    let read = |more: &[(&str, &str)]| {
        let mut pairs = vec![("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        pairs.extend(more);
        caller(&extract("b3multi", &pairs))
    };
    assert_eq!(read(&[("x-b3-sampled", "1"), ("x-b3-parentspanid", OTHER_SPAN)]), some_caller(TRACE, SPAN, true));
    assert_eq!(read(&[("x-b3-sampled", "0")]), some_caller(TRACE, SPAN, false));
    assert_eq!(read(&[("x-b3-sampled", "true")]), some_caller(TRACE, SPAN, true));
    assert_eq!(read(&[("x-b3-sampled", "0"), ("x-b3-flags", "1")]), some_caller(TRACE, SPAN, true), "debug is sampled");
    assert_eq!(read(&[("x-b3-sampled", "0"), ("x-b3-flags", "0")]), some_caller(TRACE, SPAN, false));
    assert_eq!(read(&[]), some_caller(TRACE, SPAN, true));
    assert_eq!(read(&[("x-b3-sampled", "perhaps")]), None);
    assert_eq!(caller(&extract("b3multi", &[("x-b3-traceid", TRACE), ("x-b3-sampled", "1")])), None);
    // The single header takes precedence, unless it is invalid.
    let single = format!("{OTHER_TRACE}-{OTHER_SPAN}-1");
    assert_eq!(read(&[("b3", &single)]), some_caller(OTHER_TRACE, OTHER_SPAN, true));
    assert_eq!(read(&[("b3", "invalid")]), some_caller(TRACE, SPAN, true));
}

#[test]
fn b3_is_injected_with_the_debug_flag() {
    for (decision, single, sampled, flags) in
        [("1", "1", Some("1"), None), ("0", "0", Some("0"), None), ("d", "d", None, Some("1"))]
    {
        let context = extract("b3", &[("b3", &format!("{TRACE}-{SPAN}-{decision}"))]);
        assert_eq!(inject("b3", &context), carrier(&[("b3", &format!("{TRACE}-{SPAN}-{single}"))]));
        let sent = inject("b3multi", &context);
        assert_eq!((sent["x-b3-traceid"].as_str(), sent["x-b3-spanid"].as_str()), (TRACE, SPAN));
        assert_eq!(sent.get("x-b3-sampled").map(String::as_str), sampled);
        assert_eq!(sent.get("x-b3-flags").map(String::as_str), flags);
        assert!(!sent.contains_key("x-b3-parentspanid"));
    }
    // A child span in this process has the flag, a new trace does not.
    let debug = extract("b3", &[("b3", &format!("{TRACE}-{SPAN}-d"))]);
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let child = debug.with_span(tracer.start_with_context("child", &debug));
    assert!(inject("b3", &child)["b3"].ends_with("-d"));
    let root = debug.with_span(tracer.start_with_context("root", &Context::new()));
    assert!(inject("b3", &root)["b3"].ends_with("-1"));
    // Outside of a span, no decision is sent.
    assert!(inject("b3,b3multi,xray,tracecontext", &Context::new()).is_empty());
}

#[test]
fn a_random_trace_is_sent_on_with_its_decision() {
    let context = extract("tracecontext", &[("traceparent", &format!("{}03", &PARENT[..53]))]);
    assert_eq!(inject("b3", &context)["b3"], format!("{TRACE}-{SPAN}-1"));
    assert!(inject("xray", &context)["x-amzn-trace-id"].ends_with(";Sampled=1"));
}

#[test]
fn xray_is_extracted() {
    for (value, is_sampled) in [
        (format!("{ROOT};Parent={OTHER_SPAN};Sampled=1"), true),
        (format!("Sampled=0; Parent={OTHER_SPAN} ;{ROOT}"), false),
        (format!("Self=1-67891234-12456789abcdef012345678;{ROOT};Parent={OTHER_SPAN};Sampled=?;Lineage=a:1"), true),
        (format!("{ROOT};Parent={OTHER_SPAN}"), true),
    ] {
        let read = caller(&extract("xray", &[("x-amzn-trace-id", &value)]));
        assert_eq!(read, some_caller(OTHER_TRACE, OTHER_SPAN, is_sampled), "{value}");
    }
    for value in [
        ROOT,
        &format!("{ROOT};Sampled=1"),
        &format!("{ROOT};Parent=invalid"),
        &format!("Parent={OTHER_SPAN};Sampled=1"),
        &format!("Root=2-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={OTHER_SPAN}"),
        &format!("Root=1-4bf92f3577b3-4da6a3ce929d0e0e4736;Parent={OTHER_SPAN}"),
        &format!("Root=1-4bf92f35-77b34da6a3ce929d0e0e4736-1;Parent={OTHER_SPAN}"),
        "",
    ] {
        assert_eq!(caller(&extract("xray", &[("x-amzn-trace-id", value)])), None, "{value}");
    }
}

#[test]
fn xray_is_injected() {
    let context = extract("tracecontext", &[("traceparent", PARENT)]);
    let sent = inject("xray", &context);
    let expected = format!("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={SPAN};Sampled=1");
    assert_eq!(sent, carrier(&[("x-amzn-trace-id", &expected)]));
}

#[test]
fn an_invalid_context_never_replaces_a_valid_one() {
    let pairs = [
        ("traceparent", PARENT),
        ("b3", "0"),
        ("x-b3-traceid", "invalid"),
        ("x-amzn-trace-id", ROOT),
        ("baggage", "a=1"),
    ];
    for names in [
        "tracecontext,baggage,b3,b3multi,xray",
        "xray,b3multi,b3,baggage,tracecontext",
        "b3,tracecontext,xray,baggage,b3multi",
    ] {
        let context = extract(names, &pairs);
        assert_eq!(caller(&context), some_caller(TRACE, SPAN, true), "{names}");
        assert_eq!(context.baggage().get("a").unwrap().as_str(), "1");
    }
    let valid = format!("{OTHER_TRACE}-{OTHER_SPAN}-1");
    let pairs = [("traceparent", "00-invalid"), ("b3", valid.as_str()), ("x-amzn-trace-id", ROOT)];
    for names in ["tracecontext,b3,xray", "xray,b3,tracecontext", "b3,tracecontext,xray"] {
        assert_eq!(caller(&extract(names, &pairs)), some_caller(OTHER_TRACE, OTHER_SPAN, true), "{names}");
    }
}

#[test]
fn the_later_of_two_valid_contexts_is_the_parent() {
    let xray = format!("{ROOT};Parent={OTHER_SPAN};Sampled=0");
    let pairs = [("traceparent", PARENT), ("x-amzn-trace-id", xray.as_str())];
    assert_eq!(caller(&extract("tracecontext,xray", &pairs)), some_caller(OTHER_TRACE, OTHER_SPAN, false));
    assert_eq!(caller(&extract("xray,tracecontext", &pairs)), some_caller(TRACE, SPAN, true));
}

#[test]
fn a_second_format_with_the_same_span_keeps_the_tracestate() {
    let b3 = format!("{TRACE}-{SPAN}-1");
    let random = format!("{}03", &PARENT[..53]);
    let pairs = [("traceparent", random.as_str()), ("tracestate", "foo=1"), ("b3", &b3)];
    for names in ["tracecontext,b3", "b3,tracecontext"] {
        let sent = inject("tracecontext", &extract(names, &pairs));
        assert_eq!((sent["traceparent"].as_str(), sent["tracestate"].as_str()), (random.as_str(), "foo=1"), "{names}");
    }
}

#[test]
fn other_formats_are_neither_extracted_nor_injected() {
    let pairs = [("traceparent", PARENT), ("baggage", "a=1")];
    let context = extract("tracecontext", &pairs);
    assert!(context.baggage().is_empty());
    let context = context.with_baggage([KeyValue::new("b", "2")]);
    assert_eq!(inject("tracecontext", &context), carrier(&[("traceparent", PARENT)]));
    assert_eq!(inject("baggage", &context), carrier(&[("baggage", "b=2")]));
    assert!(inject("none", &context).is_empty());
    assert_eq!(caller(&extract("none", &pairs)), None);
    assert_eq!(caller(&extract("baggage", &pairs)), None);
}

proptest! {
    #[test]
    fn contexts_round_trip(
        trace in "[0-9a-f]{31}[1-9a-f]",
        span in "[0-9a-f]{15}[1-9a-f]",
        is_sampled: bool,
    ) {
        let parent = format!("00-{trace}-{span}-0{}", u8::from(is_sampled));
        let context = extract("tracecontext", &[("traceparent", &parent)]);
        for names in ["b3", "b3multi", "xray", "tracecontext"] {
            let sent = inject(names, &context);
            let read = Propagator::from_names(names).unwrap().extract(&sent);
            prop_assert_eq!(caller(&read), some_caller(&trace, &span, is_sampled));
            prop_assert_eq!(inject("tracecontext", &read)["traceparent"].clone(), parent.clone());
        }
    }

    #[test]
    fn any_headers_do_not_panic(values in prop::collection::vec("\\PC{0,20}|[-0-9a-f]{0,70}|([A-Z][a-z]{3,6}=[-0-9a-f]{0,40};){0,4}", 6)) {
        let names = ["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags", "x-amzn-trace-id"];
        let pairs: Vec<_> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
        let context = extract("b3,b3multi,xray", &pairs);
        prop_assert_eq!(caller(&context).is_some(), context.has_active_span());
    }
}
