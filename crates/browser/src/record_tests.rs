//! Encoded records are decoded with opentelemetry-proto and compared.

use std::time::Instant;

use opentelemetry_proto::tonic::collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest};
use proptest::prelude::*;
use prost::Message;
use throughline_context::keys;

use super::*;
use crate::attributes::{
    Value,
    tests::{attributes, same},
};

type Pairs = Vec<(String, Value)>;

fn context() -> impl Strategy<Value = SpanContext> {
    (
        any::<[u8; 16]>().prop_filter_map("zero", TraceId::from_bytes),
        any::<[u8; 8]>().prop_filter_map("zero", SpanId::from_bytes),
        0_u8..4,
    )
        .prop_map(|(trace_id, span_id, flags)| SpanContext { trace_id, span_id, flags: TraceFlags::new(flags) })
}

prop_compose! {
    fn span()(
        context in context(),
        parent in any::<[u8; 8]>(),
        name in ".{0,60}",
        client in any::<bool>(),
        start_ns in 0..i64::MAX,
        length_ns in 0_i64..1 << 40,
        (pairs, attributes) in attributes(),
        event_times in prop::collection::vec(0..i64::MAX, 0..4),
        error in any::<bool>(),
    ) -> (Span, Pairs, Vec<i64>) {
        let mut span = Span {
            context,
            parent: SpanId::from_bytes(parent),
            name,
            kind: if client { Kind::Client } else { Kind::Internal },
            start_ns,
            end_ns: start_ns.saturating_add(length_ns),
            attributes,
            events: Vec::new(),
            error,
        };
        for time_ns in &event_times {
            span.event(*time_ns, "loadEventEnd");
        }
        (span, pairs, event_times)
    }
}

prop_compose! {
    fn event()(
        name in prop::sample::select(vec!["exception", "browser.web_vital"]),
        time_ns in 0..i64::MAX,
        severity in prop::sample::select(vec![Severity::Info, Severity::Warn, Severity::Error]),
        (pairs, attributes) in attributes(),
        span in prop::option::of(context()),
    ) -> (Event, Pairs) {
        (Event { name, time_ns, severity, attributes, span }, pairs)
    }
}

proptest! {
    #[test]
    fn spans_decode_to_the_same_values(
        spans in prop::collection::vec(span(), 0..5),
        (resource_pairs, resource) in attributes(),
    ) {
        let origin = Origin::new(&resource, "app", "1.2");
        let encoded: Vec<_> = spans.iter().map(|(span, ..)| span.encode()).collect();
        let bytes = origin.request(encoded.iter().map(Vec::as_slice));
        let records: usize = encoded.iter().map(|record| protobuf::framed_len(record.len())).sum();
        prop_assert!(bytes.len() <= records + origin.overhead_bytes());
        let request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(request.resource_spans.len(), 1);
        let group = &request.resource_spans[0];
        same(&resource_pairs, &group.resource.as_ref().unwrap().attributes);
        let scope = &group.scope_spans[0];
        prop_assert_eq!(&scope.scope.as_ref().unwrap().name, "app");
        prop_assert_eq!(&scope.scope.as_ref().unwrap().version, "1.2");
        prop_assert_eq!(scope.spans.len(), spans.len());
        for ((sent, pairs, event_times), got) in spans.iter().zip(&scope.spans) {
            prop_assert_eq!(&sent.context.trace_id.to_bytes()[..], &got.trace_id[..]);
            prop_assert_eq!(&sent.context.span_id.to_bytes()[..], &got.span_id[..]);
            let parent = sent.parent.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
            prop_assert_eq!(parent, got.parent_span_id.clone());
            prop_assert_eq!(&sent.name, &got.name);
            prop_assert_eq!(sent.kind as i32, got.kind);
            prop_assert_eq!(sent.start_ns.cast_unsigned(), got.start_time_unix_nano);
            prop_assert_eq!(sent.end_ns.cast_unsigned(), got.end_time_unix_nano);
            prop_assert_eq!(got.flags, u32::from(sent.context.flags.bits()) | FLAGS_HAS_IS_REMOTE);
            prop_assert_eq!(got.status.as_ref().map_or(0, |status| status.code), if sent.error { 2 } else { 0 });
            same(pairs, &got.attributes);
            let times: Vec<_> = got.events.iter().map(|event| event.time_unix_nano.cast_signed()).collect();
            prop_assert_eq!(&times, event_times);
            prop_assert!(got.events.iter().all(|event| event.name == "loadEventEnd"));
        }
    }

    #[test]
    fn events_decode_to_the_same_values(events in prop::collection::vec(event(), 0..5), now_ns in 0..i64::MAX) {
        let origin = Origin::new(&Attributes::default(), "app", "1.2");
        let encoded: Vec<_> = events.iter().map(|(event, _)| event.encode(now_ns)).collect();
        let bytes = origin.request(encoded.iter().map(Vec::as_slice));
        let request = ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap();
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        prop_assert_eq!(records.len(), events.len());
        for ((sent, pairs), got) in events.iter().zip(records) {
            prop_assert_eq!(sent.name, &got.event_name);
            prop_assert_eq!(sent.time_ns.cast_unsigned(), got.time_unix_nano);
            prop_assert_eq!(now_ns.cast_unsigned(), got.observed_time_unix_nano);
            prop_assert_eq!(sent.severity as i32, got.severity_number);
            same(pairs, &got.attributes);
            match sent.span {
                Some(span) => {
                    prop_assert_eq!(&span.trace_id.to_bytes()[..], &got.trace_id[..]);
                    prop_assert_eq!(&span.span_id.to_bytes()[..], &got.span_id[..]);
                    prop_assert_eq!(u32::from(span.flags.bits()), got.flags);
                }
                None => prop_assert!(got.trace_id.is_empty() && got.span_id.is_empty()),
            }
        }
    }

    #[test]
    fn attributes_can_be_added_to_encoded_records((span, pairs, _) in span(), late in "[a-z]{1,9}") {
        let mut record = span.encode();
        let mut more = Attributes::default();
        more.set("late.key", late.clone());
        add_attributes(&mut record, Signal::Traces, &more);
        let got = opentelemetry_proto::tonic::trace::v1::Span::decode(record.as_slice()).unwrap();
        let mut expected = pairs;
        expected.push(("late.key".to_owned(), late.into()));
        same(&expected, &got.attributes);
    }
}

#[test]
fn a_span_never_ends_before_it_starts() {
    let id = |n| SpanId::from_bytes([n; 8]).unwrap();
    let span = Span {
        context: SpanContext {
            trace_id: TraceId::from_bytes([1; 16]).unwrap(),
            span_id: id(1),
            flags: TraceFlags::SAMPLED,
        },
        parent: None,
        name: "x".repeat(2_000),
        kind: Kind::Internal,
        start_ns: 100,
        end_ns: 50,
        attributes: Attributes::default(),
        events: Vec::new(),
        error: false,
    };
    let got = opentelemetry_proto::tonic::trace::v1::Span::decode(span.encode().as_slice()).unwrap();
    assert_eq!((got.start_time_unix_nano, got.end_time_unix_nano), (100, 100));
    assert_eq!(got.name.len(), NAME_LIMIT_BYTES);
}

/// Creates the span of a traced request, the most frequent record of a page.
fn request_span(n: u8) -> Span {
    let mut span = Span {
        context: SpanContext {
            trace_id: TraceId::from_bytes([n | 1; 16]).unwrap(),
            span_id: SpanId::from_bytes([n | 1; 8]).unwrap(),
            flags: TraceFlags::SAMPLED,
        },
        parent: SpanId::from_bytes([7; 8]),
        name: "GET /api/activities/home".to_owned(),
        kind: Kind::Client,
        start_ns: 1_790_000_000_123_456_789,
        end_ns: 1_790_000_000_165_432_198,
        attributes: Attributes::default(),
        events: Vec::new(),
        error: false,
    };
    for (key, value) in [
        ("http.request.method", Value::from("GET")),
        ("url.template", Value::from("/api/activities/home")),
        ("url.full", Value::from("http://127.0.0.1:3000/api/activities/home")),
        ("server.address", Value::from("127.0.0.1")),
        ("server.port", Value::from(3000_i64)),
        ("http.response.status_code", Value::from(200_i64)),
        (keys::NETWORK_QUALITY, Value::from("fine")),
        (keys::NETWORK_TOTAL_MS, Value::from(41.123_456)),
        (keys::NETWORK_UPLINK_MS, Value::from(20.561_728)),
        (keys::NETWORK_DOWNLINK_MS, Value::from(20.561_728)),
        (keys::phase_ms("server").as_str(), Value::from(1.234_567)),
        ("session.id", Value::from("0af7651916cd43dd8448eb211c80319c")),
    ] {
        span.attributes.set(key, value);
    }
    span
}

/// OTLP permits protobuf and JSON; the smaller one is sent. The test also prints the time of each: `cargo test
/// --release -p throughline-browser --lib protobuf_is_smaller -- --nocapture`.
#[test]
fn protobuf_is_smaller_than_json() {
    const SPANS: u64 = 1_000;
    let origin = Origin::new(&Attributes::default(), "app", "1.2");
    let timed = |encode: &dyn Fn() -> Vec<u8>| {
        let begun = Instant::now();
        let bytes = encode();
        (bytes.len() as u64 / SPANS, begun.elapsed().as_nanos() as u64 / SPANS)
    };
    // Includes the creation of the spans, because attributes are encoded when they are set; for JSON only the
    // serialization.
    let encode = || {
        let encoded: Vec<_> = (0..SPANS).map(|n| request_span(n as u8).encode()).collect();
        origin.request(encoded.iter().map(Vec::as_slice))
    };
    let message = ExportTraceServiceRequest::decode(encode().as_slice()).unwrap();
    let (protobuf, json) = (timed(&encode), timed(&|| serde_json::to_vec(&message).unwrap()));
    println!("per span: protobuf {} bytes, {} ns; JSON {} bytes, {} ns", protobuf.0, protobuf.1, json.0, json.1);
    assert!(protobuf.0 * 3 < json.0 * 2, "protobuf {}, JSON {}", protobuf.0, json.0);
}
