//! Spans as the SDK passes them to a processor.

use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::{
    Array, InstrumentationScope, Key, KeyValue, StringValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use proptest::{collection::vec, prelude::*};

/// Returns a sampled span with only a name.
pub(crate) fn named(name: &str) -> SpanData {
    SpanData {
        span_context: SpanContext::new(TraceId::from(7), SpanId::from(9), TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.to_owned().into(),
        start_time: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001),
        end_time: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_500_000),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("test").build(),
    }
}

/// Strings around all lengths at which an encoded length needs another byte.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\\PC{0,12}",
        2 => (56_usize..68).prop_map(|length| "x".repeat(length)),
        2 => (120_usize..132).prop_map(|length| "x".repeat(length)),
        1 => (16_380_usize..16_390).prop_map(|length| "x".repeat(length)),
        1 => Just(String::new()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<i64>(), -2_i64..200].prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
        vec(any::<bool>(), 0..4).prop_map(|all| Value::Array(Array::Bool(all))),
        vec(any::<i64>(), 0..30).prop_map(|all| Value::Array(Array::I64(all))),
        vec(any::<i32>().prop_map(f64::from), 0..4).prop_map(|all| Value::Array(Array::F64(all))),
        vec(text().prop_map(StringValue::from), 0..4).prop_map(|all| Value::Array(Array::String(all))),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute = (text(), value()).prop_map(|(key, value)| KeyValue::new(Key::from(key), value));
    vec(attribute, 0..6)
}

fn state() -> impl Strategy<Value = TraceState> {
    vec(("[a-z]{1,8}", "[a-z0-9]{1,12}"), 0..3)
        .prop_map(|members| TraceState::from_key_value(members).unwrap_or_default())
}

fn context() -> impl Strategy<Value = SpanContext> {
    (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<bool>(), any::<bool>(), state()).prop_map(
        |(trace, span, is_remote, is_random, state)| {
            let flags = TraceFlags::SAMPLED | TraceFlags::new(u8::from(is_random) << 1);
            SpanContext::new(TraceId::from_bytes(trace), SpanId::from_bytes(span), flags, is_remote, state)
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (text(), any::<u32>(), attributes(), 0_u32..3).prop_map(|(name, at_s, attributes, dropped)| {
        Event::new(name, UNIX_EPOCH + Duration::from_secs(at_s.into()), attributes, dropped)
    })
}

fn link() -> impl Strategy<Value = Link> {
    (context(), attributes(), 0_u32..3)
        .prop_map(|(context, attributes, dropped)| Link::new(context, attributes, dropped))
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (0_usize..4).prop_map(|which| match which {
        0 => InstrumentationScope::builder("plain").build(),
        1 => InstrumentationScope::builder("versioned")
            .with_version("1.2.3")
            .with_schema_url("https://s.example/1")
            .build(),
        // Differs from the first only in its version.
        2 => InstrumentationScope::builder("plain").with_version("2").build(),
        _ => InstrumentationScope::builder("")
            .with_attributes([KeyValue::new("of", "scope"), KeyValue::new("n", 3)])
            .build(),
    })
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Unset), Just(Status::Ok), text().prop_map(Status::error)]
}

fn kind() -> impl Strategy<Value = SpanKind> {
    prop_oneof![
        Just(SpanKind::Internal),
        Just(SpanKind::Server),
        Just(SpanKind::Client),
        Just(SpanKind::Producer),
        Just(SpanKind::Consumer),
    ]
}

/// Generates any sampled span.
pub(crate) fn any_span() -> impl Strategy<Value = SpanData> {
    let identity = (context(), any::<[u8; 8]>(), any::<bool>(), kind(), text(), any::<u64>(), any::<u64>());
    let content = (attributes(), 0_u32..300, vec(event(), 0..3), vec(link(), 0..3), 0_u32..3, status(), scope());
    (identity, content).prop_map(|(identity, content)| {
        let (span_context, parent, parent_span_is_remote, span_kind, name, start, end) = identity;
        let (attributes, dropped_attributes_count, event_list, link_list, dropped, status, instrumentation_scope) =
            content;
        let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
        (events.events, events.dropped_count) = (event_list, dropped);
        (links.links, links.dropped_count) = (link_list, dropped);
        SpanData {
            span_context,
            // Some spans have no parent.
            parent_span_id: if parent[0] < 64 { SpanId::INVALID } else { SpanId::from_bytes(parent) },
            parent_span_is_remote,
            span_kind,
            name: name.into(),
            start_time: UNIX_EPOCH + Duration::from_nanos(start >> 1),
            end_time: UNIX_EPOCH + Duration::from_nanos(end >> 1),
            attributes,
            dropped_attributes_count,
            events,
            links,
            status,
            instrumentation_scope,
        }
    })
}
