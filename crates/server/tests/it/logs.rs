//! Log records: from the receivers, into their trace, to the inspector's API.

use reqwest::{RequestBuilder, header};
use throughline_inspector_api::{self as inspector, AttributeValue};
use throughline_otlp::{Encoding, KeyValue, LogRecord, Severity, Span, Value, decode_logs, encode, encode_logs};

use crate::support::{Bench, DEADLINE, Start as _, exception, new_trace_id, now_ns, read, span, text};

const PROTOBUF: &str = "application/x-protobuf";

async fn ingest_token(bench: &Bench) -> String {
    let ingest_token: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    ingest_token["ingest_token"].as_str().unwrap().to_owned()
}

/// Returns a batch for the receiver for pages.
fn public(bench: &Bench, ingest_token: &str, records: &[LogRecord]) -> RequestBuilder {
    let request = bench.request("POST", "/v1/logs").header(header::CONTENT_TYPE, PROTOBUF);
    request.header("x-throughline-ingest-token", ingest_token).body(encode_logs(records, Encoding::Protobuf))
}

/// Stores a span for records to refer to.
async fn stored_span(bench: &Bench) -> Span {
    let span = span(&new_trace_id(), "open");
    bench.store(std::slice::from_ref(&span)).await;
    span
}

async fn logs(bench: &Bench, span: &Span) -> Vec<inspector::LogRecord> {
    bench.find_trace(&span.trace_id.to_string()).await.unwrap().logs
}

#[tokio::test]
async fn the_otlp_receiver_accepts_both_encodings_and_the_trace_has_the_records() {
    let bench = Bench::start();
    let span = stored_span(&bench).await;
    let mut first = exception(&span, "the lid is stuck");
    first.severity_text = "ERROR".to_owned();
    first.body = Value::Map(vec![KeyValue::new("tries", 3), KeyValue::new("large", i64::MAX)]);
    let mut second = exception(&span, "");
    (second.time_ns, second.observed_time_ns, second.span_id) = (0, first.time_ns + 5, None);
    (second.event_name, second.body, second.severity) = (String::new(), Value::from("gave up"), Severity::UNSPECIFIED);
    for (record, encoding) in [(&second, Encoding::Json), (&first, Encoding::Protobuf)] {
        let request = bench.trusted("/v1/logs").header(header::CONTENT_TYPE, encoding.content_type());
        let response = request.body(encode_logs(std::slice::from_ref(record), encoding)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], encoding.content_type());
    }
    let seen = logs(&bench, &span).await;
    assert_eq!(seen.len(), 2);
    let string = |text: &str| AttributeValue::String(text.to_owned());
    assert_eq!((seen[0].time_ns, seen[0].span_id.clone()), (first.time_ns, Some(span.span_id.to_string())));
    assert_eq!((seen[0].severity, seen[0].severity_text.as_str()), (17, "ERROR"));
    assert_eq!((seen[0].event_name.as_str(), seen[0].service.as_str()), ("exception", "bank"));
    assert_eq!(seen[0].attributes[0].value, string("the lid is stuck"));
    assert!(matches!(&seen[0].body, AttributeValue::Map(entries) if entries[1].value == AttributeValue::Int(i64::MAX)));
    assert_eq!(
        (seen[1].time_ns, &seen[1].span_id),
        (second.observed_time_ns, &None),
        "the observed time is used without a time"
    );
    assert_eq!((seen[1].severity, &seen[1].body), (0, &string("gave up")));

    let raw: serde_json::Value = bench.read(&format!("/api/traces/{}", span.trace_id)).await;
    for key in ["time_ns", "align_ns"] {
        assert!(raw["logs"][0][key].is_string(), "{key} is {}", raw["logs"][0][key]);
    }
}

#[tokio::test]
async fn a_trace_without_log_records_has_an_empty_list() {
    let bench = Bench::start();
    let span = stored_span(&bench).await;
    assert_eq!(logs(&bench, &span).await, []);
}

#[tokio::test]
async fn the_page_receiver_enriches_records_with_the_client() {
    let bench = Bench::start_with(&[], &[("OTEL_SERVICE_NAME", "shop")]);
    let span = stored_span(&bench).await;
    let mut record = exception(&span, "it broke");
    record.attributes.push(KeyValue::new("client.address", "203.0.113.9"));
    let ingest_token = ingest_token(&bench).await;
    let before_ns = now_ns();
    for _ in 0..2 {
        let response = public(&bench, &ingest_token, std::slice::from_ref(&record)).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.bytes().await.unwrap().len()), (200, 0));
    }
    let seen = logs(&bench, &span).await;
    assert_eq!(seen.len(), 1, "a record that is sent again is stored once");
    assert_eq!(seen[0].service, "shop-web", "the name that the page sends is replaced");
    let attributes = &seen[0].attributes;
    assert_eq!(text(attributes, "throughline.client_reported").as_deref(), Some("true"));
    assert_eq!(text(attributes, "client.address").as_deref(), Some("127.0.0.1"));
    assert_eq!(attributes.iter().filter(|attribute| attribute.key == "client.address").count(), 1);
    assert!(text(attributes, "session.id").is_some());
    assert_eq!(text(attributes, "exception.message").as_deref(), Some("it broke"));
    let received_ns: u64 = text(attributes, "throughline.received_ns").unwrap().parse().unwrap();
    assert!((before_ns..=now_ns()).contains(&received_ns), "{received_ns}");
}

#[tokio::test]
async fn a_beacon_has_its_ingest_token_in_the_query() {
    let bench = Bench::start();
    let span = stored_span(&bench).await;
    let path = format!("/v1/logs?ingest_token={}", ingest_token(&bench).await);
    let beacon = bench.request("POST", &path).header(header::CONTENT_TYPE, PROTOBUF);
    let beacon = beacon.header(header::ORIGIN, bench.server().base());
    let response = beacon.body(encode(&[exception(&span, "bye")], Encoding::Protobuf)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(logs(&bench, &span).await.len(), 1);
}

#[tokio::test]
async fn invalid_requests_are_rejected() {
    let bench = Bench::start();
    let span = stored_span(&bench).await;
    let records = [exception(&span, "nonsense")];
    let ingest_token = ingest_token(&bench).await;
    let rejected = public(&bench, "v1.0.0.0", &records).send().await.unwrap();
    assert_eq!(
        (rejected.status().as_u16(), &rejected.headers()[header::CONTENT_TYPE]),
        (401, &PROTOBUF.parse().unwrap())
    );
    let foreign = public(&bench, &ingest_token, &records).header(header::ORIGIN, "http://evil.test");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let page = bench.trusted("/v1/logs").header(header::CONTENT_TYPE, PROTOBUF).header(header::ORIGIN, "null");
    assert_eq!(page.send().await.unwrap().status(), 403);
    let large = bench.request("POST", "/v1/logs").header(header::CONTENT_TYPE, PROTOBUF);
    // The body is compressed, so that it is sent before the response: a client that still writes may see a broken pipe.
    let large = large.header("x-throughline-ingest-token", &ingest_token).header(header::CONTENT_ENCODING, "gzip");
    let large = large.body(crate::support::gzip(&vec![0; 5 << 20]));
    assert_eq!(large.send().await.unwrap().status(), 413);
    assert_eq!(bench.get("/v1/logs").send().await.unwrap().status(), 405);
    assert_eq!(logs(&bench, &span).await, []);
}

#[tokio::test]
async fn an_invalid_id_is_a_partial_success_and_an_empty_id_is_absent() {
    let bench = Bench::start();
    let span = stored_span(&bench).await;
    let trace_id = span.trace_id.to_string();
    let record = |trace_id: &str, name: &str| serde_json::json!({"traceId": trace_id, "spanId": "", "eventName": name, "timeUnixNano": "1"});
    let records = [record(&trace_id, "good"), record(&trace_id[1..], "bad"), record("", "alone")];
    let body = serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    let request = bench.trusted("/v1/logs").header(header::CONTENT_TYPE, "application/json");
    let response: serde_json::Value = read(request.body(body.to_string())).await;
    assert_eq!(response["partialSuccess"]["rejectedLogRecords"], "1", "{response}");
    assert!(response["partialSuccess"]["errorMessage"].as_str().unwrap().contains("bad"), "{response}");
    let names: Vec<String> = logs(&bench, &span).await.into_iter().map(|record| record.event_name).collect();
    assert_eq!(names, ["good"]);
}

#[tokio::test]
async fn log_records_without_spans_are_not_a_trace() {
    let bench = Bench::start();
    let span = span(&new_trace_id(), "lost");
    bench.store(&[exception(&span, "alone")]).await;
    assert!(bench.find_trace(&span.trace_id.to_string()).await.is_none());
    assert!(bench.list(&[]).await.traces.is_empty());
    // The records are in the trace once it has a span.
    bench.store(std::slice::from_ref(&span)).await;
    assert_eq!(logs(&bench, &span).await.len(), 1);
}

#[tokio::test]
async fn a_received_record_is_an_event_of_the_live_stream() {
    let bench = Bench::start();
    let span = stored_span(&bench).await;
    let mut live = bench.get("/api/traces/live").send().await.unwrap();
    bench.store(&[exception(&span, "late")]).await;
    let mut text = String::new();
    let event = tokio::time::timeout(DEADLINE, async {
        while !text.contains(&span.trace_id.to_string()) {
            text.push_str(str::from_utf8(&live.chunk().await.unwrap().expect("the stream does not end")).unwrap());
        }
    });
    event.await.expect("an event in time");
}

#[tokio::test]
async fn log_records_survive_a_kill_and_the_download_has_only_spans() {
    let mut bench = Bench::start();
    let span = stored_span(&bench).await;
    bench.store(&[exception(&span, "kept")]).await;
    bench.kill_and_restart();
    assert_eq!(logs(&bench, &span).await.len(), 1);
    let download = bench.get(&format!("/api/traces/{}/otlp", span.trace_id)).send().await.unwrap();
    let body = download.bytes().await.unwrap();
    assert!(decode_logs(&body, Encoding::Json).unwrap().records.is_empty());
    assert!(!String::from_utf8_lossy(&body).contains("kept"));
}
