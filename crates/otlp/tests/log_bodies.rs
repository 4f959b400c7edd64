//! Tests of valid and invalid bodies of log records.

#![allow(clippy::unwrap_used, reason = "the lint does not recognize test helpers")]

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, common::v1 as common, logs::v1 as logs,
};
use prost::Message;
use throughline_otlp::{
    DecodeError, Decoded, Encoding, KeyValue, LogRecord, MAX_RECORDS, MAX_VALUE_DEPTH, Reason, Severity, Signal, Value,
    decode_logs, decode_traces, encode_logs,
};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

fn json(body: &str) -> Decoded<LogRecord> {
    decode_logs(body.as_bytes(), Encoding::Json).unwrap()
}

/// Creates a body with these records, of one resource and scope.
fn with_records(records: &str) -> String {
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#)
}

/// Decodes a body with one record that has these fields.
fn record(fields: &str) -> LogRecord {
    let mut decoded = json(&with_records(&format!("{{{fields}}}")));
    assert_eq!(decoded.rejections, [], "{fields}");
    decoded.records.remove(0)
}

#[test]
fn an_empty_body_is_a_success() {
    for (body, encoding) in [
        ("", Encoding::Protobuf),
        ("", Encoding::Json),
        ("{}", Encoding::Json),
        (r#"{"resourceLogs":null}"#, Encoding::Json),
        (r#"{"resourceLogs":[{}]}"#, Encoding::Json),
        (r#"{"resourceLogs":[{"scopeLogs":[{}]}]}"#, Encoding::Json),
        // Unknown fields are ignored.
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"n"}]}]}]}"#, Encoding::Json),
        (r#"{"resourceSpans":7}"#, Encoding::Json),
    ] {
        let decoded = decode_logs(body.as_bytes(), encoding).unwrap();
        assert_eq!(decoded, Decoded::default(), "{body}");
    }
    let logs = with_records(r#"{"eventName":"e"}"#);
    assert_eq!(decode_traces(logs.as_bytes(), Encoding::Json).unwrap(), Decoded::default());
}

#[test]
fn the_example_of_the_specification_is_decoded() {
    let decoded = json(
        r#"{"resourceLogs":[{
            "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
            "scopeLogs":[{
                "scope":{"name":"my.library","version":"1.0.0","attributes":[
                    {"key":"my.scope.attribute","value":{"stringValue":"some scope attribute"}}]},
                "logRecords":[{
                    "timeUnixNano":"1544712660300000000","observedTimeUnixNano":"1544712660300000000",
                    "severityNumber":10,"severityText":"Information",
                    "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
                    "body":{"stringValue":"Example log record"},
                    "attributes":[
                        {"key":"string.attribute","value":{"stringValue":"some string"}},
                        {"key":"int.attribute","value":{"intValue":"10"}},
                        {"key":"map.attribute","value":{"kvlistValue":{"values":[
                            {"key":"some.map.key","value":{"stringValue":"some value"}}]}}}
                    ]}]}]}]}"#,
    );
    let [record] = decoded.records.as_slice() else {
        panic!("one record, not {}", decoded.records.len());
    };
    assert_eq!(record.trace_id.map(|id| id.to_string()).as_deref(), Some(TRACE));
    assert_eq!(record.span_id.map(|id| id.to_string()).as_deref(), Some(SPAN));
    assert_eq!((record.time_ns, record.observed_time_ns), (1_544_712_660_300_000_000, 1_544_712_660_300_000_000));
    assert_eq!((record.severity.number(), record.severity_text.as_str()), (10, "Information"));
    assert_eq!(record.body, Value::from("Example log record"));
    assert_eq!(record.service_name(), "my.service");
    assert_eq!(record.scope.name, "my.library");
    assert_eq!(record.attribute("int.attribute"), Some(&Value::Int(10)));
    assert_eq!(record.event_name, "");
}

#[test]
fn json_is_decoded_leniently() {
    let record = record(
        r#""timeUnixNano":17,"observedTimeUnixNano":1.8e1,"severityNumber":"SEVERITY_NUMBER_ERROR2","flags":"1",
           "severityText":null,"unknown":{"a":[1]},"eventName":"exception","attributes":null,
           "body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":7}}]}},"droppedAttributesCount":"3""#,
    );
    assert_eq!((record.time_ns, record.observed_time_ns, record.flags), (17, 18, 1));
    assert_eq!((record.severity, record.severity.number()), (Severity::from_number(18), 18));
    assert_eq!(record.body, Value::Map(vec![KeyValue::new("a", 7)]));
    assert_eq!((record.event_name.as_str(), record.dropped_attributes_count), ("exception", 3));
}

#[test]
fn unknown_severities_and_values_are_unspecified() {
    for severity in ["99", "-1", r#""SEVERITY_NUMBER_NEW""#, "null"] {
        let record = record(&format!(r#""severityNumber":{severity},"body":{{"newValue":[1]}}"#));
        assert_eq!((record.severity, record.body), (Severity::UNSPECIFIED, Value::Empty), "{severity}");
    }
}

#[test]
fn ids_may_be_absent() {
    for absent in ["", r#""traceId":"","spanId":"""#, r#""traceId":null,"spanId":null"#] {
        let record = record(absent);
        assert_eq!((record.trace_id, record.span_id), (None, None), "{absent}");
    }
    let zeros = format!(r#""traceId":"{}","spanId":"{}""#, "0".repeat(32), "0".repeat(16));
    assert_eq!((record(&zeros).trace_id, record(&zeros).span_id), (None, None));
    let trace_alone = record(&format!(r#""traceId":"{TRACE}""#));
    assert_eq!((trace_alone.trace_id.is_some(), trace_alone.span_id), (true, None));
}

#[test]
fn an_invalid_id_rejects_only_its_record() {
    let records: Vec<String> = [
        (TRACE, SPAN),
        ("5b8e", SPAN),
        (&TRACE[..31], SPAN),
        (&"zz".repeat(16), SPAN),
        ("0", SPAN),
        (TRACE, "eee19b7ec3c1b1"),
        (TRACE, "ééééé"),
        ("", "zzzzzzzzzzzzzzzz"),
        ("", ""),
    ]
    .iter()
    .map(|(trace, span)| format!(r#"{{"eventName":"e","traceId":"{trace}","spanId":"{span}"}}"#))
    .collect();
    let decoded = json(&with_records(&records.join(",")));
    assert_eq!(decoded.records.len(), 2);
    let kinds: String = decoded
        .rejections
        .iter()
        .map(|rejection| {
            assert_eq!((rejection.signal, rejection.name.as_str()), (Signal::Logs, "e"));
            match rejection.reason {
                Reason::TraceId(_) => 't',
                Reason::SpanId(_) => 's',
                _ => '?',
            }
        })
        .collect();
    assert_eq!(kinds, "ttttsss");
}

fn protobuf(log_records: Vec<logs::LogRecord>) -> Vec<u8> {
    ExportLogsServiceRequest {
        resource_logs: vec![logs::ResourceLogs {
            scope_logs: vec![logs::ScopeLogs { log_records, ..Default::default() }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

#[test]
fn an_invalid_id_rejects_only_its_record_in_protobuf() {
    let message = |trace_id: &[u8], span_id: &[u8]| logs::LogRecord {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        severity_number: 99,
        ..Default::default()
    };
    let body = protobuf(vec![
        message(&[1; 16], &[1; 8]),
        message(&[], &[]),
        message(&[0; 16], &[0; 8]),
        message(&[1; 15], &[1; 8]),
        message(&[0; 15], &[1; 8]),
        message(&[1; 16], &[1; 9]),
    ]);
    let decoded = decode_logs(&body, Encoding::Protobuf).unwrap();
    assert_eq!((decoded.records.len(), decoded.rejections.len()), (3, 3));
    assert!(decoded.records.iter().all(|record| record.severity == Severity::UNSPECIFIED));
    let ids: Vec<_> =
        decoded.records.iter().map(|record| (record.trace_id.is_some(), record.span_id.is_some())).collect();
    assert_eq!(ids, [(true, true), (false, false), (false, false)]);
}

#[test]
fn a_body_that_is_not_otlp_is_an_error() {
    for body in [
        "[]",
        "null,",
        "{",
        "{} {}",
        r#"{"resourceLogs":{}}"#,
        r#"{"resourceLogs":[null]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[[]]}]}"#,
        &with_records("[]"),
        &with_records(r#"{"timeUnixNano":-1}"#),
        &with_records(r#"{"flags":4294967296}"#),
        &with_records(r#"{"body":"text"}"#),
        &with_records(r#"{"body":{"bytesValue":"?"}}"#),
    ] {
        let result = decode_logs(body.as_bytes(), Encoding::Json);
        assert!(matches!(result, Err(DecodeError::Json(_))), "{body}: {result:?}");
    }
    for body in [&b"\xff"[..], b"\x0a\x05\x12", b"\x0a\x02\x12\x05"] {
        let result = decode_logs(body, Encoding::Protobuf);
        assert!(matches!(result, Err(DecodeError::Protobuf(_))), "{result:?}");
    }
}

#[test]
fn too_deep_values_reject_their_record() {
    for (depth, accepted) in [(MAX_VALUE_DEPTH, 1), (MAX_VALUE_DEPTH + 1, 0)] {
        let nested = format!(
            r#"{}{{"intValue":1}}{}"#,
            r#"{"arrayValue":{"values":["#.repeat(depth - 1),
            "]}}".repeat(depth - 1)
        );
        let attributes = format!(r#""attributes":[{{"key":"k","value":{nested}}}]"#);
        let in_resource = format!(
            r#"{{"resourceLogs":[{{"resource":{{{attributes}}},"scopeLogs":[{{"logRecords":[{{"eventName":"e"}}]}}]}}]}}"#
        );
        for body in [
            with_records(&format!(r#"{{"eventName":"e","body":{nested}}}"#)),
            with_records(&format!(r#"{{"eventName":"e",{attributes}}}"#)),
            in_resource,
        ] {
            let decoded = json(&body);
            assert_eq!((decoded.records.len(), decoded.rejections.len()), (accepted, 1 - accepted), "{body}");
            // Accepted records can be decoded from the other encoding too.
            let written = encode_logs(&decoded.records, Encoding::Protobuf);
            assert_eq!(decode_logs(&written, Encoding::Protobuf).unwrap().records.len(), accepted);
        }
    }
}

#[test]
fn an_empty_value_is_encoded_as_no_body() {
    let message = logs::LogRecord { body: Some(common::AnyValue { value: None }), ..Default::default() };
    let decoded = decode_logs(&protobuf(vec![message]), Encoding::Protobuf).unwrap();
    assert_eq!(decoded.records[0].body, Value::Empty);
    let written = encode_logs(&decoded.records, Encoding::Protobuf);
    let read = ExportLogsServiceRequest::decode(written.as_slice()).unwrap();
    assert_eq!(read.resource_logs[0].scope_logs[0].log_records[0].body, None);
    assert_eq!(record(r#""body":{"stringValue":""}"#).body, Value::from(""), "an empty string is a value");
}

#[test]
fn a_body_of_too_many_records_is_an_error() {
    let body = protobuf(vec![logs::LogRecord::default(); MAX_RECORDS]);
    assert_eq!(decode_logs(&body, Encoding::Protobuf).unwrap().records.len(), MAX_RECORDS);

    let body = protobuf(vec![logs::LogRecord::default(); MAX_RECORDS + 1]);
    let error = decode_logs(&body, Encoding::Protobuf).unwrap_err();
    assert_eq!(error.to_string(), "the body holds more than 65536 log records");
    let body = with_records(&format!("{}{{}}", "{},".repeat(MAX_RECORDS)));
    assert!(matches!(decode_logs(body.as_bytes(), Encoding::Json), Err(DecodeError::TooMany(Signal::Logs))));
}
