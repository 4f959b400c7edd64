//! Tests of valid and invalid bodies of spans.

#![allow(clippy::unwrap_used, reason = "the lint does not recognize test helpers")]

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue as KeyValueMessage, any_value},
    trace::v1 as trace,
};
use prost::Message;
use throughline_otlp::{
    DecodeError, Decoded, Encoding, MAX_RECORDS, MAX_VALUE_DEPTH, Reason, Signal, Span, SpanKind, StatusCode, Value,
    decode_traces,
};

fn json(body: &str) -> Decoded<Span> {
    decode_traces(body.as_bytes(), Encoding::Json).unwrap()
}

/// Creates a body with these spans, of one resource and scope.
fn with_spans(spans: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

/// Creates a body with one span that has these fields in addition to its ids.
fn with_fields(fields: &str) -> String {
    with_spans(&format!(r#"{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",{fields}}}"#))
}

/// Decodes a span with one attribute that has this JSON value, and returns the value.
fn value(value: &str) -> Value {
    let mut decoded = json(&with_fields(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#)));
    decoded.records.remove(0).attributes.remove(0).value
}

#[test]
fn an_empty_body_is_a_success() {
    for (body, encoding) in [
        ("", Encoding::Protobuf),
        ("", Encoding::Json),
        (" \n", Encoding::Json),
        ("{}", Encoding::Json),
        (r#"{"resourceSpans":null}"#, Encoding::Json),
        (r#"{"resourceSpans":[]}"#, Encoding::Json),
        (r#"{"resourceSpans":[{}]}"#, Encoding::Json),
        (r#"{"resourceSpans":[{"scopeSpans":[{}]}]}"#, Encoding::Json),
    ] {
        let decoded = decode_traces(body.as_bytes(), encoding).unwrap();
        assert_eq!(decoded, Decoded::default(), "{body}");
    }
}

#[test]
fn the_example_of_the_specification_is_decoded() {
    let decoded = json(
        r#"{"resourceSpans":[{
            "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
            "scopeSpans":[{
                "scope":{"name":"my.library","version":"1.0.0","attributes":[
                    {"key":"my.scope.attribute","value":{"stringValue":"some scope attribute"}}]},
                "spans":[{
                    "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
                    "parentSpanId":"EEE19B7EC3C1B173","name":"I'm a server span",
                    "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",
                    "kind":2,"attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}]
                }]}]}]}"#,
    );
    let [span] = decoded.records.as_slice() else {
        panic!("one span, not {}", decoded.records.len());
    };
    assert_eq!(span.trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!(span.span_id.to_string(), "eee19b7ec3c1b174");
    assert_eq!(span.parent_span_id.map(|id| id.to_string()).as_deref(), Some("eee19b7ec3c1b173"));
    assert_eq!(span.kind, SpanKind::Server);
    assert_eq!(span.service_name(), "my.service");
    assert_eq!(span.scope.name, "my.library");
    assert_eq!(span.duration_ns(), 1_000_000_000);
    assert_eq!(span.attribute("my.span.attr").and_then(Value::as_str), Some("some value"));
}

#[test]
fn json_is_decoded_leniently() {
    let decoded = json(&with_fields(
        r#""parentSpanId":"","traceState":null,"kind":"SPAN_KIND_CLIENT","unknown":{"a":[1]},
           "startTimeUnixNano":17,"endTimeUnixNano":1.8e1,"flags":"257","attributes":null,
           "events":[{"timeUnixNano":"9","name":null}],"status":{"code":"STATUS_CODE_ERROR","x":1}"#,
    ));
    let span = &decoded.records[0];
    assert_eq!(span.parent_span_id, None);
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!((span.start_ns, span.end_ns, span.flags), (17, 18, 257));
    assert_eq!(span.events[0].time_ns, 9);
    assert_eq!(span.status.code, StatusCode::Error);

    // Values of a later version of the protocol.
    let span = &json(&with_fields(r#""kind":99,"status":{"code":"STATUS_CODE_NEW"}"#)).records[0];
    assert_eq!(span.kind, SpanKind::Unspecified);
    assert_eq!(span.status.code, StatusCode::Unset);
}

#[test]
fn json_values_of_every_type_are_decoded() {
    assert_eq!(value(r#"{"stringValue":""}"#), Value::String(String::new()));
    assert_eq!(value(r#"{"boolValue":false}"#), Value::Bool(false));
    assert_eq!(value(r#"{"intValue":"-9223372036854775808"}"#), Value::Int(i64::MIN));
    assert_eq!(value(r#"{"intValue":7}"#), Value::Int(7));
    assert_eq!(value(r#"{"doubleValue":2}"#), Value::Double(2.0));
    assert_eq!(value(r#"{"doubleValue":"-Infinity"}"#), Value::Double(f64::NEG_INFINITY));
    assert!(matches!(value(r#"{"doubleValue":"NaN"}"#), Value::Double(n) if n.is_nan()));
    assert_eq!(value(r#"{"bytesValue":"+/8="}"#), Value::Bytes(vec![0xfb, 0xff]));
    assert_eq!(value(r#"{"bytesValue":"-_8"}"#), Value::Bytes(vec![0xfb, 0xff]));
    assert_eq!(value(r#"{"arrayValue":{}}"#), Value::Array(vec![]));
    assert_eq!(value(r#"{"kvlistValue":{"values":null}}"#), Value::Map(vec![]));
    for empty in ["{}", "null", r#"{"stringValue":null}"#, r#"{"newValue":[{}]}"#] {
        assert_eq!(value(empty), Value::Empty, "{empty}");
    }
}

#[test]
fn a_body_that_is_not_otlp_is_an_error() {
    for body in [
        "[]",
        "null,",
        "{",
        "{} {}",
        r#"{"resourceSpans":{}}"#,
        r#"{"resourceSpans":[null]}"#,
        r#"{"resourceSpans":[[]]}"#,
        &with_spans("[]"),
        &with_fields(r#""startTimeUnixNano":-1"#),
        &with_fields(r#""startTimeUnixNano":"18446744073709551616""#),
        &with_fields(r#""startTimeUnixNano":0.5"#),
        &with_fields(r#""flags":4294967296"#),
        &with_fields(r#""attributes":[{"key":"k","value":{"bytesValue":"?"}}]"#),
        &with_fields(r#""attributes":[{"key":"k","value":"v"}]"#),
    ] {
        let result = decode_traces(body.as_bytes(), Encoding::Json);
        assert!(matches!(result, Err(DecodeError::Json(_))), "{body}: {result:?}");
    }
    for body in [&b"\xff"[..], b"\x0a\x05\x12", b"\x0a\x02\x12\x05"] {
        let result = decode_traces(body, Encoding::Protobuf);
        assert!(matches!(result, Err(DecodeError::Protobuf(_))), "{result:?}");
    }
}

#[test]
fn an_invalid_id_rejects_only_its_span() {
    const T: &str = "5b8efff798038103d269b633813fc60c";
    const S: &str = "eee19b7ec3c1b174";
    let spans: Vec<String> = [
        (T, S, ""),
        ("", S, ""),
        ("5b8e", S, ""),
        ("00000000000000000000000000000000", S, ""),
        (&"zz".repeat(16), S, ""),
        ("0x8efff798038103d269b633813fc60c", S, ""),
        (T, "", ""),
        (T, "eee19b7ec3c1b1", ""),
        (T, "0000000000000000", ""),
        (T, S, "eee1"),
        (T, S, "ééééé"),
        (T, S, "0000000000000000"),
    ]
    .iter()
    .map(|(trace, span, parent)| {
        format!(r#"{{"name":"n","traceId":"{trace}","spanId":"{span}","parentSpanId":"{parent}"}}"#)
    })
    .collect();
    let decoded = json(&with_spans(&spans.join(",")));
    assert_eq!(decoded.records.len(), 2);
    let kinds: String = decoded
        .rejections
        .iter()
        .map(|rejection| {
            assert_eq!(rejection.name, "n");
            match rejection.reason {
                Reason::TraceId(_) => 't',
                Reason::SpanId(_) => 's',
                Reason::ParentSpanId(_) => 'p',
                _ => '?',
            }
        })
        .collect();
    assert_eq!(kinds, "tttttssspp");
}

fn protobuf(spans: Vec<trace::Span>) -> Vec<u8> {
    ExportTraceServiceRequest {
        resource_spans: vec![trace::ResourceSpans {
            scope_spans: vec![trace::ScopeSpans { spans, ..Default::default() }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

fn message(trace_id: &[u8], span_id: &[u8], parent_span_id: &[u8]) -> trace::Span {
    trace::Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        parent_span_id: parent_span_id.to_vec(),
        ..Default::default()
    }
}

#[test]
fn an_invalid_id_rejects_only_its_span_in_protobuf() {
    let valid_link = trace::span::Link { trace_id: vec![1; 16], span_id: vec![1; 8], ..Default::default() };
    let invalid_link = trace::span::Link { trace_id: vec![1; 15], ..valid_link.clone() };
    let mut linked = message(&[1; 16], &[1; 8], &[]);
    linked.links = vec![invalid_link, valid_link];
    linked.dropped_links_count = 3;
    // A span that ends before it begins is kept.
    (linked.start_time_unix_nano, linked.end_time_unix_nano) = (9, 4);
    let body = protobuf(vec![
        linked,
        message(&[1; 15], &[1; 8], &[]),
        message(&[0; 16], &[1; 8], &[]),
        message(&[1; 16], &[1; 9], &[]),
        message(&[1; 16], &[0; 8], &[]),
        message(&[1; 16], &[1; 8], &[1; 7]),
        message(&[1; 16], &[1; 8], &[0; 8]),
        message(&[1; 16], &[1; 8], &[2; 8]),
    ]);
    let decoded = decode_traces(&body, Encoding::Protobuf).unwrap();
    assert_eq!((decoded.records.len(), decoded.rejections.len()), (3, 5));
    assert_eq!(decoded.records[0].links.len(), 1);
    assert_eq!(decoded.records[0].dropped_links_count, 4);
    assert_eq!((decoded.records[0].start_ns, decoded.records[0].end_ns), (9, 4));
    assert_eq!(decoded.records[1].parent_span_id, None);
    assert!(decoded.records[2].parent_span_id.is_some());
}

#[test]
fn too_deep_values_reject_their_span() {
    for (depth, accepted) in [(MAX_VALUE_DEPTH, 1), (MAX_VALUE_DEPTH + 1, 0)] {
        let nested = format!(
            r#"{}{{"intValue":1}}{}"#,
            r#"{"arrayValue":{"values":["#.repeat(depth - 1),
            "]}}".repeat(depth - 1)
        );
        let decoded = json(&with_fields(&format!(r#""attributes":[{{"key":"k","value":{nested}}}]"#)));
        assert_eq!(decoded.records.len(), accepted);
        assert_eq!(decoded.rejections.len(), 1 - accepted);

        // In the resource, it rejects all spans.
        let body = format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{nested}}}]}},
                "scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c",
                "spanId":"eee19b7ec3c1b174"}}]}}]}}]}}"#
        );
        assert_eq!(json(&body).records.len(), accepted);
    }
}

#[test]
fn very_deep_nesting_is_an_error() {
    let deep = 100_000;
    let body = with_fields(&format!(
        r#""attributes":[{{"key":"k","value":{}{}}}]"#,
        r#"{"arrayValue":{"values":["#.repeat(deep),
        "]}}".repeat(deep)
    ));
    assert!(matches!(decode_traces(body.as_bytes(), Encoding::Json), Err(DecodeError::Json(_))));

    let mut value = AnyValue { value: None };
    for _ in 0..200 {
        value = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let mut span = message(&[1; 16], &[1; 8], &[]);
    span.attributes = vec![KeyValueMessage { key: "k".to_owned(), value: Some(value), key_strindex: 0 }];
    assert!(matches!(decode_traces(&protobuf(vec![span]), Encoding::Protobuf), Err(DecodeError::Protobuf(_))));
}

#[test]
fn a_body_of_too_many_spans_is_an_error() {
    let body = protobuf(vec![trace::Span::default(); MAX_RECORDS]);
    let decoded = decode_traces(&body, Encoding::Protobuf).unwrap();
    assert_eq!(decoded.rejections.len(), MAX_RECORDS);

    let body = protobuf(vec![trace::Span::default(); MAX_RECORDS + 1]);
    assert!(matches!(decode_traces(&body, Encoding::Protobuf), Err(DecodeError::TooMany(Signal::Traces))));
    let body = with_spans(&format!("{}{{}}", "{},".repeat(MAX_RECORDS)));
    assert!(matches!(decode_traces(body.as_bytes(), Encoding::Json), Err(DecodeError::TooMany(Signal::Traces))));
}
