//! Forwarding of the records of other programs, pages and the server itself; the key is never printed.

use reqwest::header;
use throughline_otlp::{SpanKind, Value};
use throughline_testkit::FakeHoneycomb;

use crate::support::{
    Bench, DEADLINE, Start as _, as_json, binary, eventually, exception, new_span_id, new_trace_id, read, span,
    traceparent,
};

const KEY: &str = "hcaik_k3y-th4t-n0b0dy-sh4ll-s33";

fn with_key(endpoint: &str) -> Bench {
    let env = [("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", endpoint), ("THROUGHLINE_LOG", "trace")];
    Bench::start_with(&[], &[&env[..], &[("OTEL_RESOURCE_ATTRIBUTES", "team=blue%20%26%20green")]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_other_programs_are_forwarded() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = with_key(&upstream.endpoint());
    let sent = span(&new_trace_id(), "payday");
    bench.store(std::slice::from_ref(&sent)).await;
    upstream.wait_for(1, DEADLINE).await.unwrap();
    assert_eq!(upstream.spans(), [sent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_records_are_forwarded() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = with_key(&upstream.endpoint());
    let record = exception(&span(&new_trace_id(), "payday"), "no money");
    bench.store(std::slice::from_ref(&record)).await;
    upstream.wait_for_logs(1, DEADLINE).await.unwrap();
    assert_eq!(upstream.logs(), [record]);
}

#[test]
fn help_does_not_show_the_key() {
    for command in [&["--help"][..], &["settings"], &["--frobnicate"]] {
        let result = std::process::Command::new(binary())
            .args(command)
            .env("HONEYCOMB_API_KEY", KEY)
            .env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-honeycomb-team={KEY}"))
            .env("THROUGHLINE_ACCESS_TOKEN", KEY)
            .output()
            .unwrap();
        let output = String::from_utf8([result.stdout, result.stderr].concat()).unwrap();
        assert!(!output.is_empty() && !output.contains(KEY), "{command:?}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_page_and_the_server_are_forwarded_as_one_trace_and_the_key_is_not_logged() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let mut bench = with_key(&upstream.endpoint());
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    let request = bench.get("/no/such/page").header("traceparent", traceparent(&trace_id, &span_id));
    assert_eq!(request.send().await.unwrap().status(), 404);
    let ingest_token: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    let batch = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, "application/json");
    let batch = batch.header("x-throughline-ingest-token", ingest_token["ingest_token"].as_str().unwrap());
    assert_eq!(batch.body(as_json(&[(&trace_id, &span_id, "GET")])).send().await.unwrap().status(), 200);
    let spans = eventually("both spans upstream", async || {
        let mut spans = upstream.spans();
        spans.retain(|span| span.trace_id.to_string() == trace_id);
        (spans.len() == 2).then_some(spans)
    })
    .await;
    let of = |kind| spans.iter().find(|span| span.kind == kind).unwrap();
    let (page, server) = (of(SpanKind::Client), of(SpanKind::Server));
    assert_eq!((page.service_name(), server.service_name()), ("throughline-web", "throughline"));
    assert_eq!(server.parent_span_id, Some(page.span_id));
    for span in [page, server] {
        assert_eq!(span.resource.attribute("team").and_then(Value::as_str), Some("blue & green"), "{}", span.name);
    }
    let output = bench.server().output();
    assert!(!output.is_empty() && !output.contains(KEY), "the log shows the key");
    assert!(tokio::task::block_in_place(|| bench.stop()).success());
}
