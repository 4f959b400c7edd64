//! Tests of forwarding: all records arrive upstream, also after failures and restarts, and the key is never exposed.

use std::net::SocketAddr;

use reqwest::header;
use throughline_otlp::{Span, SpanKind, Value};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{
    Bench, DEADLINE, Start as _, as_json, eventually, exception, new_span_id, new_trace_id, read, span, traceparent,
};

const KEY: &str = "hcaik_k3y-th4t-n0b0dy-sh4ll-s33";

/// Sends a request and the client span of a page that it belongs to; returns the trace id.
async fn fetch(bench: &Bench) -> String {
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    let request = bench.get("/api/activities/home").header("traceparent", traceparent(&trace_id, &span_id));
    assert_eq!(request.send().await.unwrap().status(), 200);
    let ingest_token: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    let batch = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, "application/json");
    let batch = batch.header("x-throughline-ingest-token", ingest_token["ingest_token"].as_str().unwrap());
    assert_eq!(batch.body(as_json(&[(&trace_id, &span_id, "GET")])).send().await.unwrap().status(), 200);
    trace_id
}

/// Waits for the four spans of a [`fetch`] upstream, and returns them.
async fn arrived(upstream: &FakeHoneycomb, trace_id: &str) -> Vec<Span> {
    eventually(&format!("trace {trace_id} upstream"), async || {
        let mut spans = upstream.spans();
        spans.retain(|span| span.trace_id.to_string() == trace_id);
        spans.sort_by_key(|span| span.span_id);
        spans.dedup_by_key(|span| span.span_id);
        (spans.len() >= 4).then_some(spans)
    })
    .await
}

fn assert_joined(spans: &[Span]) {
    assert_eq!(spans.len(), 4, "{spans:?}");
    let of =
        |kind, service: &str| spans.iter().find(|span| span.kind == kind && span.service_name() == service).unwrap();
    let (fetch, server) = (of(SpanKind::Client, "shop-web"), of(SpanKind::Server, "shop"));
    assert_eq!(fetch.parent_span_id, None);
    assert_eq!(server.parent_span_id, Some(fetch.span_id));
    assert_eq!(server.name, "GET /api/activities/home");
    for span in spans {
        let resource = |key: &str| span.resource.attribute(key).and_then(Value::as_str);
        assert_eq!(resource("deployment.environment.name"), Some("test"), "{}", span.name);
        assert_eq!(resource("team"), Some("blue & green"), "{}", span.name);
    }
}

const NAMES: [(&str, &str); 2] = [
    ("OTEL_SERVICE_NAME", "shop"),
    ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=blue%20%26%20green,service.name=ignored"),
];

fn with_key(endpoint: &str) -> Bench {
    let mut env = vec![("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", endpoint)];
    env.extend(NAMES);
    Bench::start_with(&[], &env)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_honeycomb_key_browser_and_server_arrive_as_one_trace() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = with_key(&upstream.endpoint());
    let trace_id = fetch(&bench).await;
    assert_joined(&arrived(&upstream, &trace_id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_standard_variables_browser_and_server_arrive_as_one_trace() {
    let upstream = FakeHoneycomb::start("k=y, w/ %").await.unwrap();
    let endpoint = upstream.endpoint();
    let headers = "x-honeycomb-team=k%3Dy%2C%20w%2F%20%25,x-other=1";
    let mut env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_HEADERS", headers)];
    env.extend(NAMES);
    let bench = Bench::start_with(&[], &env);
    let trace_id = fetch(&bench).await;
    assert_joined(&arrived(&upstream, &trace_id).await);
    assert!(upstream.requests().iter().all(|request| request.headers["x-other"] == "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_logs_gets_the_spans_and_is_logged_once() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_logs_response(Behaviour::Status(404, None));
    let mut bench = with_key(&upstream.endpoint());
    let record = exception(&span(&new_trace_id(), "payday"), "no money");
    bench.store(std::slice::from_ref(&record)).await;
    upstream.wait_for_requests(1, DEADLINE).await.unwrap();
    let trace_id = fetch(&bench).await;
    arrived(&upstream, &trace_id).await;
    let logged = async || bench.server().output().contains("has no endpoint for log records").then_some(());
    eventually("the log line", logged).await;
    assert_eq!(bench.server().output().matches("log records").count(), 1);
    // Once the upstream accepts logs, the record is delivered.
    upstream.set_logs_response(Behaviour::Ok);
    assert!(tokio::task::block_in_place(|| bench.restart()).success());
    upstream.wait_for_logs(1, DEADLINE).await.unwrap();
    assert_eq!(upstream.logs(), [record]);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_stored_without_an_upstream() {
    let bench = Bench::start_with(&[], &NAMES);
    let trace_id = fetch(&bench).await;
    assert_eq!(bench.trace(&trace_id, 4).await.spans.len(), 4);
}

/// Returns the address of an upstream that is down.
async fn down() -> SocketAddr {
    FakeHoneycomb::start(KEY).await.unwrap().addr()
}

async fn start_upstream(addr: SocketAddr) -> FakeHoneycomb {
    eventually("the port is free", async || FakeHoneycomb::start_on(addr, KEY).await.ok()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_delivered_after_an_upstream_outage() {
    let addr = down().await;
    let bench = with_key(&format!("http://{addr}"));
    let mut traces = Vec::new();
    for _ in 0..5 {
        traces.push(fetch(&bench).await);
    }
    // All spans are stored before the upstream starts, so they are delivered from the store.
    for trace_id in &traces {
        bench.trace(trace_id, 4).await;
    }
    let upstream = start_upstream(addr).await;
    for trace_id in &traces {
        assert_joined(&arrived(&upstream, trace_id).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stopped_during_an_upstream_outage_delivers_after_its_restart() {
    let addr = down().await;
    let mut bench = with_key(&format!("http://{addr}"));
    let trace_id = fetch(&bench).await;
    let status = bench.restart();
    assert!(status.success(), "{status}");
    let upstream = start_upstream(addr).await;
    assert_joined(&arrived(&upstream, &trace_id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_an_upstream_outage_delivers_after_its_restart() {
    let addr = down().await;
    let mut bench = with_key(&format!("http://{addr}"));
    let trace_id = fetch(&bench).await;
    bench.trace(&trace_id, 4).await;
    bench.kill_and_restart();
    let upstream = start_upstream(addr).await;
    assert_joined(&arrived(&upstream, &trace_id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_delivered_after_an_upstream_returned_503() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Status(503, None));
    let bench = with_key(&upstream.endpoint());
    let trace_id = fetch(&bench).await;
    upstream.wait_for_requests(1, DEADLINE).await.unwrap();
    assert!(upstream.spans().is_empty());
    upstream.set_response(Behaviour::Ok);
    assert_joined(&arrived(&upstream, &trace_id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_spans_are_not_sent_again_after_a_restart() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let mut bench = with_key(&upstream.endpoint());
    let before = fetch(&bench).await;
    arrived(&upstream, &before).await;
    assert!(tokio::task::block_in_place(|| bench.restart()).success());
    let after = fetch(&bench).await;
    arrived(&upstream, &after).await;
    let times = upstream.spans().iter().filter(|span| span.trace_id.to_string() == before).count();
    assert_eq!(times, 4);
}

/// Requests everything that the server serves; returns all headers and bodies.
async fn all_responses(bench: &Bench, trace_id: &str) -> String {
    let trace = format!("/api/traces/{trace_id}");
    let otlp = format!("{trace}/otlp");
    let mut all = String::new();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/traces"),
        ("GET", "/nope"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/api/users"),
        ("GET", "/api/activities/home"),
        ("GET", "/api/activities/notifications"),
        ("GET", "/api/activities/search?term=key"),
        ("GET", "/api/activities/@mirela"),
        ("GET", "/api/activities/@nobody"),
        ("POST", "/api/activities"),
        ("PUT", "/api/session"),
        ("GET", "/api/nope"),
        ("GET", "/api/traces"),
        ("GET", "/api/traces?limit=x"),
        ("GET", &trace),
        ("GET", &otlp),
        ("POST", "/v1/ingest-token"),
        ("POST", "/v1/traces"),
        ("OPTIONS", "/v1/traces"),
        ("POST", "/v1/logs"),
    ] {
        for accept in ["text/html", "*/*"] {
            let response = bench.request(method, path).header(header::ACCEPT, accept).send().await.unwrap();
            all.push_str(&format!("{method} {path} {} {:?}\n", response.status(), response.headers()));
            all.push_str(&String::from_utf8_lossy(&response.bytes().await.unwrap()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_in_no_response_and_no_log() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let env = [("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", &endpoint), ("THROUGHLINE_LOG", "trace")];
    let mut bench = Bench::start_with(&[], &env);
    let trace_id = fetch(&bench).await;
    arrived(&upstream, &trace_id).await;
    // A rejected key is the case in which an error message might contain it.
    upstream.set_key("another");
    fetch(&bench).await;
    let refused = async || upstream.requests().iter().any(|request| request.status == 401).then_some(());
    eventually("a rejection upstream", refused).await;
    let served = all_responses(&bench, &trace_id).await;
    assert!(!served.contains(KEY), "a response contains the key");
    assert!(served.contains(&trace_id), "the trace was not requested");
    let output = bench.server().output();
    assert!(!output.is_empty());
    assert!(!output.contains(KEY), "the log contains the key");
    assert!(tokio::task::block_in_place(|| bench.stop()).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_standard_headers_is_in_no_response_and_no_log() {
    let addr = down().await;
    let (endpoint, headers) = (format!("http://{addr}"), format!("x-honeycomb-team={KEY}"));
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("THROUGHLINE_LOG", "debug"),
    ];
    let bench = Bench::start_with(&[], &env);
    let trace_id = fetch(&bench).await;
    let upstream = start_upstream(addr).await;
    arrived(&upstream, &trace_id).await;
    let served = all_responses(&bench, &trace_id).await;
    assert!(!served.contains(KEY) && !bench.server().output().contains(KEY));
}
