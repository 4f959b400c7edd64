//! The receivers: OTLP/HTTP from programs on this machine, and from pages with an ingest token.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use reqwest::{RequestBuilder, Response, header};
use serde::Deserialize;
use throughline_inspector_api::Span;
use throughline_otlp::{Encoding, encode_traces};

use crate::support::{
    Bench, DEADLINE, Start as _, as_json, gzip, is_hex, new_span_id, new_trace_id, read, set, span, text,
};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const INGEST_TOKEN: &str = "x-throughline-ingest-token";
const MIB: usize = 1 << 20;

// google.rpc.Code
const INVALID_ARGUMENT: i64 = 3;
const PERMISSION_DENIED: i64 = 7;
const UNAUTHENTICATED: i64 = 16;

/// The response of `POST /v1/ingest-token`.
#[derive(Deserialize)]
struct IngestToken {
    ingest_token: String,
    session_id: String,
    expires_in_s: u64,
}

async fn ingest_token(bench: &Bench) -> IngestToken {
    read(bench.request("POST", "/v1/ingest-token")).await
}

/// Returns a batch for the receiver for pages.
fn public(bench: &Bench, ingest_token: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, JSON);
    request.header(INGEST_TOKEN, ingest_token).body(body)
}

/// Returns a batch for the OTLP receiver.
fn trusted(bench: &Bench, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    bench.trusted("/v1/traces").header(header::CONTENT_TYPE, content_type).body(body)
}

fn one_span(trace_id: &str) -> String {
    as_json(&[(trace_id, &new_span_id(), "open")])
}

async fn only_span(bench: &Bench, trace_id: &str) -> Span {
    let mut spans = bench.find_trace(trace_id).await.expect("stored before the response").spans;
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

/// Sends a request, checks the status and that the response is JSON, and returns the body.
async fn json(request: RequestBuilder, status: u16) -> serde_json::Value {
    let response = request.send().await.unwrap();
    let (actual, content_type) = (response.status(), response.headers().get(header::CONTENT_TYPE).cloned());
    let body = response.text().await.unwrap();
    assert_eq!(actual, status, "{body}");
    assert_eq!(content_type.unwrap(), JSON, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Checks that a request is rejected with a `google.rpc.Status` in JSON.
async fn rejected(request: RequestBuilder, status: u16, code: i64) {
    let body = json(request, status).await;
    assert_eq!(body["code"], code, "{body}");
    assert!(body["message"].as_str().unwrap().contains(' '), "{body}");
}

fn assert_protobuf(response: &Response, status: u16) {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()[header::CONTENT_TYPE], PROTOBUF);
}

#[tokio::test]
async fn the_otlp_receiver_accepts_protobuf() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let body = encode_traces(&[span(&trace_id, "open")], Encoding::Protobuf);
    let response = trusted(&bench, PROTOBUF, body).send().await.unwrap();
    assert_protobuf(&response, 200);
    assert!(response.bytes().await.unwrap().is_empty(), "a success without rejections is an empty message");
    assert_eq!(only_span(&bench, &trace_id).await.name, "open");
}

#[tokio::test]
async fn the_otlp_receiver_accepts_json() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    for content_type in [JSON, "application/json; charset=utf-8"] {
        let body = json(trusted(&bench, content_type, one_span(&trace_id)), 200).await;
        assert!(body.get("partialSuccess").is_none_or(|partial| partial == &serde_json::json!({})), "{body}");
    }
    let spans = bench.find_trace(&trace_id).await.unwrap().spans;
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.service == "bank"), "the service name of a program is kept");
}

#[tokio::test]
async fn the_otlp_receiver_accepts_ids_in_either_case() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    json(trusted(&bench, JSON, one_span(&trace_id.to_uppercase())), 200).await;
    assert_eq!(only_span(&bench, &trace_id).await.trace_id, trace_id);
}

#[tokio::test]
async fn the_otlp_receiver_accepts_gzip_of_both_encodings() {
    let bench = Bench::start();
    let (one, other) = (new_trace_id(), new_trace_id());
    let protobuf = gzip(&encode_traces(&[span(&one, "open")], Encoding::Protobuf));
    let response = trusted(&bench, PROTOBUF, protobuf).header(header::CONTENT_ENCODING, "gzip").send().await.unwrap();
    assert_protobuf(&response, 200);
    assert_eq!(only_span(&bench, &one).await.name, "open");
    let body = gzip(one_span(&other).as_bytes());
    json(trusted(&bench, JSON, body).header(header::CONTENT_ENCODING, "gzip"), 200).await;
    assert_eq!(only_span(&bench, &other).await.name, "open");
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let bench = Bench::start();
    let response = trusted(&bench, PROTOBUF, "").send().await.unwrap();
    assert_protobuf(&response, 200);
    json(trusted(&bench, JSON, "{}"), 200).await;
    json(public(&bench, &ingest_token(&bench).await.ingest_token, "{}"), 200).await;
    assert!(bench.list(&[]).await.traces.is_empty());
}

#[tokio::test]
async fn an_invalid_body_is_400_in_the_encoding_of_the_request() {
    let bench = Bench::start();
    for body in ["{", "[]", "null", r#"{"resourceSpans":1}"#] {
        rejected(trusted(&bench, JSON, body), 400, INVALID_ARGUMENT).await;
        rejected(public(&bench, &ingest_token(&bench).await.ingest_token, body), 400, INVALID_ARGUMENT).await;
    }
    let response = trusted(&bench, PROTOBUF, &b"\xff\xff\xff"[..]).send().await.unwrap();
    assert_protobuf(&response, 400);
    // google.rpc.Status: field 1 is the code.
    assert_eq!(response.bytes().await.unwrap()[..2], [0x08, 3]);
}

#[tokio::test]
async fn invalid_gzip_is_400() {
    let bench = Bench::start();
    let plain = trusted(&bench, JSON, "{}").header(header::CONTENT_ENCODING, "gzip");
    rejected(plain, 400, INVALID_ARGUMENT).await;
    let mut truncated = gzip(one_span(&new_trace_id()).as_bytes());
    truncated.truncate(truncated.len() - 10);
    rejected(trusted(&bench, JSON, truncated).header(header::CONTENT_ENCODING, "gzip"), 400, INVALID_ARGUMENT).await;
    assert!(bench.list(&[]).await.traces.is_empty());
}

#[tokio::test]
async fn an_unsupported_content_type_or_encoding_is_415() {
    let bench = Bench::start();
    for content_type in ["text/plain", "application/xml", "application/grpc"] {
        assert_eq!(trusted(&bench, content_type, "{}").send().await.unwrap().status(), 415, "{content_type}");
    }
    assert_eq!(bench.trusted("/v1/traces").body("{}").send().await.unwrap().status(), 415);
    let packed = trusted(&bench, JSON, "{}").header(header::CONTENT_ENCODING, "br");
    assert_eq!(packed.send().await.unwrap().status(), 415);
    let ingest_token = ingest_token(&bench).await.ingest_token;
    let plain = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(plain.header(INGEST_TOKEN, &ingest_token).body("{}").send().await.unwrap().status(), 415);
}

/// Sends the head of a request with a body of `bytes`, but no body, and returns the head of the response in lower case.
fn announce(base: &str, ingest_token: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\n{INGEST_TOKEN}: {ingest_token}\r\ncontent-length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase() + "\n").collect()
}

#[tokio::test]
async fn a_content_length_above_the_limit_is_413_before_the_body_is_read() {
    let bench = Bench::start();
    let ingest_token = ingest_token(&bench).await.ingest_token;
    for (base, bytes) in [(bench.server().base(), MIB + 1), (bench.server().otlp_base(), 16 * MIB + 1)] {
        let head = announce(&base, &ingest_token, bytes);
        assert!(head.starts_with("http/1.1 413 "), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_after_decompression_is_413() {
    let bench = Bench::start();
    let bomb = gzip(&vec![b' '; 5 * MIB]);
    assert!(bomb.len() < MIB / 4);
    let packed =
        public(&bench, &ingest_token(&bench).await.ingest_token, bomb).header(header::CONTENT_ENCODING, "gzip");
    rejected(packed, 413, INVALID_ARGUMENT).await;
}

#[tokio::test]
async fn a_span_with_an_invalid_id_is_rejected_and_the_others_are_stored() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let zeros = "0".repeat(16);
    let batch = as_json(&[
        (&trace_id, &new_span_id(), "good"),
        (&trace_id, "abc", "short"),
        (&trace_id, &zeros, "zero"),
        ("xyz", &new_span_id(), "no hex"),
    ]);
    let body = json(trusted(&bench, JSON, batch), 200).await;
    let rejected = &body["partialSuccess"]["rejectedSpans"];
    assert!(rejected == "3" || rejected == 3, "{body}");
    assert!(body["partialSuccess"]["errorMessage"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert_eq!(only_span(&bench, &trace_id).await.name, "good");
}

#[tokio::test]
async fn an_invalid_id_in_protobuf_is_a_partial_success() {
    let bench = Bench::start();
    let (good, bad) = (span(&new_trace_id(), "good"), span(&new_trace_id(), "bad"));
    let mut body = encode_traces(&[good.clone(), bad.clone()], Encoding::Protobuf);
    let id = bad.span_id.to_bytes();
    let at = body.windows(id.len()).position(|bytes| bytes == id).unwrap();
    body[at..at + id.len()].fill(0);
    let response = trusted(&bench, PROTOBUF, body).send().await.unwrap();
    assert_protobuf(&response, 200);
    // ExportTraceServiceResponse: field 1 is partial_success, whose field 1 is rejected_spans.
    let body = response.bytes().await.unwrap();
    assert_eq!((body[0], &body[2..4]), (0x0a, &[0x08, 1][..]));
    assert_eq!(only_span(&bench, &good.trace_id.to_string()).await.name, "good");
    assert!(bench.find_trace(&bad.trace_id.to_string()).await.is_none());
}

#[tokio::test]
async fn each_request_returns_a_new_ingest_token_that_is_not_cached() {
    let bench = Bench::start();
    let response = bench.request("POST", "/v1/ingest-token").send().await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let one: IngestToken = response.json().await.unwrap();
    assert!(is_hex(&one.session_id, 32), "{}", one.session_id);
    assert!((60..=3600).contains(&one.expires_in_s), "short-lived: {}", one.expires_in_s);
    let other = ingest_token(&bench).await;
    assert_ne!((one.ingest_token, one.session_id), (other.ingest_token, other.session_id));
}

#[tokio::test]
async fn the_page_receiver_enriches_spans_with_the_client() {
    let bench = Bench::start_with(&[], &[("OTEL_SERVICE_NAME", "shop")]);
    let trace_id = new_trace_id();
    let before_ns = crate::support::now_ns();
    json(public(&bench, &ingest_token(&bench).await.ingest_token, one_span(&trace_id)), 200).await;
    let span = only_span(&bench, &trace_id).await;
    let everywhere = [span.attributes.clone(), span.resource.clone()].concat();
    assert_eq!(span.service, "shop-web", "the name that the page sends is replaced");
    assert_eq!(text(&everywhere, "throughline.client_reported").as_deref(), Some("true"));
    assert_eq!(text(&everywhere, "client.address").as_deref(), Some("127.0.0.1"));
    let addresses = everywhere.iter().filter(|attribute| attribute.key == "client.address").count();
    assert_eq!(addresses, 1, "the address that the page sends is replaced");
    let received_ns: u64 = text(&everywhere, "throughline.received_ns").unwrap().parse().unwrap();
    assert!((before_ns..=crate::support::now_ns()).contains(&received_ns), "{received_ns}");
}

#[tokio::test]
async fn the_service_name_of_pages_can_be_set() {
    let bench = Bench::start_with(&["--browser-service-name", "window"], &[]);
    let trace_id = new_trace_id();
    json(public(&bench, &ingest_token(&bench).await.ingest_token, one_span(&trace_id)), 200).await;
    assert_eq!(only_span(&bench, &trace_id).await.service, "window");
}

#[tokio::test]
async fn the_otlp_receiver_does_not_mark_spans_as_client_reported() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    let mut sent = span(&trace_id, "open");
    set(&mut sent, "client.address", "203.0.113.9");
    bench.store(&[sent]).await;
    let span = only_span(&bench, &trace_id).await;
    assert_eq!(text(&span.attributes, "client.address").as_deref(), Some("203.0.113.9"));
    assert_eq!(text(&span.attributes, "throughline.client_reported"), None);
}

#[tokio::test]
async fn the_page_receiver_accepts_protobuf_and_gzip() {
    let bench = Bench::start();
    let ingest_token = ingest_token(&bench).await.ingest_token;
    let trace_id = new_trace_id();
    let body = gzip(&encode_traces(&[span(&trace_id, "open")], Encoding::Protobuf));
    let request = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, PROTOBUF);
    let request = request.header(header::CONTENT_ENCODING, "gzip").header(INGEST_TOKEN, &ingest_token).body(body);
    assert_protobuf(&request.send().await.unwrap(), 200);
    assert_eq!(only_span(&bench, &trace_id).await.service, "throughline-web");
}

#[tokio::test]
async fn records_without_a_valid_ingest_token_are_rejected() {
    let bench = Bench::start();
    let foreign = ingest_token(&Bench::start()).await.ingest_token;
    let valid = ingest_token(&bench).await.ingest_token;
    let (head, signature) = valid.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{head}.{first}{}", &signature[1..]);
    let trace_id = new_trace_id();
    for wrong in ["", "nonsense", "v1.0.0.0", head, &tampered, &foreign] {
        rejected(public(&bench, wrong, one_span(&trace_id)), 401, UNAUTHENTICATED).await;
    }
    let none = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, JSON).body(one_span(&trace_id));
    rejected(none, 401, UNAUTHENTICATED).await;
    assert!(bench.find_trace(&trace_id).await.is_none());
}

#[tokio::test]
async fn an_ingest_token_is_valid_after_a_restart() {
    let mut bench = Bench::start();
    let ingest_token = ingest_token(&bench).await.ingest_token;
    bench.restart();
    let trace_id = new_trace_id();
    json(public(&bench, &ingest_token, one_span(&trace_id)), 200).await;
    assert_eq!(only_span(&bench, &trace_id).await.name, "open");
}

#[tokio::test]
async fn requests_of_a_foreign_origin_are_rejected() {
    let bench = Bench::start();
    let ingest_token = ingest_token(&bench).await.ingest_token;
    let trace_id = new_trace_id();
    for origin in ["http://evil.test", "null", "http://127.0.0.1:1"] {
        let batch = public(&bench, &ingest_token, one_span(&trace_id)).header(header::ORIGIN, origin);
        rejected(batch, 403, PERMISSION_DENIED).await;
        let response = bench.request("POST", "/v1/ingest-token").header(header::ORIGIN, origin).send().await.unwrap();
        assert_eq!(response.status(), 403, "{origin}");
        assert!(!response.text().await.unwrap().contains("v1."), "{origin} received an ingest token");
    }
    assert!(bench.find_trace(&trace_id).await.is_none());
    // Pages of the same origin also send the header.
    let own = public(&bench, &ingest_token, one_span(&trace_id)).header(header::ORIGIN, bench.server().base());
    json(own, 200).await;
}

#[tokio::test]
async fn requests_of_an_allowed_origin_are_accepted() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", "http://localhost:3000")]);
    let origin = "http://localhost:3000";
    let request = bench.request("POST", "/v1/ingest-token").header(header::ORIGIN, origin);
    let ingest_token: IngestToken = read(request).await;
    let trace_id = new_trace_id();
    json(public(&bench, &ingest_token.ingest_token, one_span(&trace_id)).header(header::ORIGIN, origin), 200).await;
    assert_eq!(only_span(&bench, &trace_id).await.name, "open");
}
