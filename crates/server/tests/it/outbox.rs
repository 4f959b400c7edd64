//! The outbox: several sinks, sampling, clock alignment, and the reported state of sinks.

use std::sync::Arc;

use throughline_context::SpanId;
use throughline_inspector_api::{Sink, SinkList, SinkState};
use throughline_otlp::{DataPoint, KeyValue, Metric, Number, PointValue, Span, SpanKind, Status, StatusCode, Value};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, DEADLINE, Start as _, as_json, eventually, new_span_id, new_trace_id, read, span};

const KEY: &str = "hcaik_0utb0x";

fn env<'a>(upstream: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut env = vec![("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", upstream)];
    env.extend(more);
    env
}

/// Waits until the state of a sink fulfils a condition, and returns it.
async fn sink(bench: &Bench, name: &str, is_it: impl Fn(&Sink) -> bool) -> Sink {
    eventually(&format!("the state of {name}"), async || {
        let list: SinkList = bench.read("/api/traces/sinks").await;
        list.sinks.into_iter().find(|sink| sink.name == name).filter(&is_it)
    })
    .await
}

fn is_up_to_date(sink: &Sink) -> bool {
    sink.state == SinkState::Idle && sink.delivered > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sink_receives_all_records_independently_of_the_others() {
    let (one, other) = (FakeHoneycomb::start(KEY).await.unwrap(), FakeHoneycomb::start("k, 2").await.unwrap());
    other.set_response(Behaviour::Status(503, None));
    let (endpoint, sinks) = (one.endpoint(), format!("collector={}", other.endpoint()));
    let more =
        [("THROUGHLINE_SINKS", sinks.as_str()), ("THROUGHLINE_SINK_HEADERS", "collector:x-honeycomb-team=k%2C%202")];
    let bench = Bench::start_with(&[], &env(&endpoint, &more));
    let sent = span(&new_trace_id(), "payday");
    bench.store(std::slice::from_ref(&sent)).await;
    one.wait_for(1, DEADLINE).await.unwrap();
    sink(&bench, "honeycomb", is_up_to_date).await;
    let waiting = sink(&bench, "collector", |sink| sink.state == SinkState::Backoff).await;
    assert_eq!((waiting.delivered, waiting.waiting), (0, 1));
    other.set_response(Behaviour::Ok);
    other.wait_for(1, DEADLINE).await.unwrap();
    assert_eq!((one.spans(), other.spans()), (vec![sent.clone()], vec![sent]));
    let list: SinkList = bench.read("/api/traces/sinks").await;
    let names: Vec<_> = list.sinks.iter().map(|sink| sink.name.as_str()).collect();
    let each = |name: &str| ["", "/logs", "/metrics"].map(|kind| format!("{name}{kind}"));
    assert_eq!(names, [each("honeycomb"), each("collector")].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn data_points_that_no_upstream_accepted_are_sent_after_a_kill() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_metrics_response(Behaviour::Status(503, None));
    let endpoint = upstream.endpoint();
    let mut bench = Bench::start_with(&[], &env(&endpoint, &[]));
    let maker = span(&new_trace_id(), "payday");
    let metric = Metric { name: "queue.length".to_owned(), ..Metric::default() };
    let mut point = DataPoint::new(Arc::new(metric), maker.resource, maker.scope);
    point.time_ns = maker.start_ns;
    point.value = PointValue::Number(Number::Int(7));
    bench.store(std::slice::from_ref(&point)).await;
    sink(&bench, "honeycomb/metrics", |sink| sink.state == SinkState::Backoff && sink.waiting == 1).await;
    tokio::task::block_in_place(|| bench.kill_and_restart());
    upstream.set_metrics_response(Behaviour::Ok);
    upstream.wait_for_data_points(1, DEADLINE).await.unwrap();
    assert!(upstream.data_points().contains(&point));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_upstream_the_list_of_sinks_is_empty() {
    let bench = Bench::start();
    assert_eq!(bench.read::<SinkList>("/api/traces/sinks").await, SinkList::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_sink_has_counts_and_reasons() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let bench = Bench::start_with(&[], &env(&endpoint, &[]));
    let mut oversized = span(&new_trace_id(), "too long");
    oversized.attributes.push(KeyValue::new("value", "x".repeat(70_000)));
    bench.store(&[span(&new_trace_id(), "good"), oversized.clone()]).await;
    let seen = sink(&bench, "honeycomb", |sink| sink.state == SinkState::Idle && sink.rejected > 0).await;
    assert_eq!((seen.delivered, seen.waiting, seen.oldest_ns, seen.rejected), (1, 0, None, 1));
    assert_eq!(seen.endpoint, format!("{endpoint}/v1/traces"));
    let [quarantined] = seen.quarantined.try_into().unwrap();
    assert_eq!(quarantined.trace_id, Some(oversized.trace_id.to_string()));
    assert_eq!(quarantined.span_id, Some(oversized.span_id.to_string()));
    assert!(quarantined.reason.contains("too long"), "{quarantined:?}");

    upstream.set_response(Behaviour::Status(500, None));
    let waiting = span(&new_trace_id(), "later");
    bench.store(std::slice::from_ref(&waiting)).await;
    let seen = sink(&bench, "honeycomb", |sink| sink.next_attempt_ns.is_some()).await;
    assert_eq!((seen.state, seen.waiting, seen.oldest_ns), (SinkState::Backoff, 1, Some(waiting.end_ns)));
    assert!(seen.last_error.unwrap().contains("500"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_is_logged_as_an_error_and_a_restart_with_a_valid_key_resumes_delivery() {
    let upstream = FakeHoneycomb::start("the right key").await.unwrap();
    let endpoint = upstream.endpoint();
    let mut bench = Bench::start_with(&[], &env(&endpoint, &[]));
    let sent = span(&new_trace_id(), "payday");
    bench.store(std::slice::from_ref(&sent)).await;
    let seen = sink(&bench, "honeycomb", |sink| sink.state == SinkState::Stopped).await;
    assert!(seen.last_error.as_ref().unwrap().contains("unknown API key"), "{seen:?}");
    // Another thread reads the log.
    let line = eventually("a line of the log", async || {
        let log = bench.server().output();
        log.lines().find(|line| line.contains("rejects the key")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("ERROR") && line.contains("unknown API key"), "{line}");
    bench.set_env("HONEYCOMB_API_KEY", "the-right-key");
    upstream.set_key("the-right-key");
    assert!(tokio::task::block_in_place(|| bench.restart()).success());
    upstream.wait_for(1, DEADLINE).await.unwrap();
    assert_eq!(upstream.spans(), [sent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sampling_keeps_errors_and_slow_requests_by_route() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let more = [
        ("THROUGHLINE_SAMPLE_ONE_IN", "1000000000000"),
        ("THROUGHLINE_SAMPLE_SLOW_MS", "60000,/fast=50"),
        ("THROUGHLINE_SAMPLE_QUIET_MS", "50"),
    ];
    let bench = Bench::start_with(&[], &env(&endpoint, &more));
    let routed = |route: &str, lasted_ms: u64| {
        let mut span = span(&new_trace_id(), route);
        span.end_ns = span.start_ns + lasted_ms * 1_000_000;
        span.attributes.push(KeyValue::new("http.route", route));
        span
    };
    let mut failed = span(&new_trace_id(), "failed");
    failed.status = Status { code: StatusCode::Error, message: String::new() };
    let sent = [span(&new_trace_id(), "usual"), failed, routed("/fast", 60), routed("/slow", 60)];
    bench.store(&sent).await;
    let seen = sink(&bench, "honeycomb", |sink| sink.state == SinkState::Idle && sink.sampled_out == 2).await;
    assert_eq!((seen.delivered, seen.waiting), (2, 0));
    assert_eq!(upstream.spans(), sent[1..3]);
    for span in &sent {
        assert_eq!(bench.trace(&span.trace_id.to_string(), 1).await.spans.len(), 1, "the store keeps all traces");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_page_spans_are_forwarded_in_the_servers_clock_if_set() {
    let (plain, aligned) = (FakeHoneycomb::start(KEY).await.unwrap(), FakeHoneycomb::start(KEY).await.unwrap());
    let start_of = async |upstream: &FakeHoneycomb, switch: &str| {
        let endpoint = upstream.endpoint();
        let bench = Bench::start_with(&[], &env(&endpoint, &[("THROUGHLINE_ALIGN_CLOCKS", switch)]));
        let (trace_id, span_id) = (new_trace_id(), new_span_id());
        let ingest_token: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
        let mut body: serde_json::Value = serde_json::from_str(&as_json(&[(&trace_id, &span_id, "GET")])).unwrap();
        let page_span = &mut body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let offset = serde_json::json!({ "key": "throughline.clock.offset_ms", "value": { "doubleValue": 1500.0 } });
        page_span["attributes"] = serde_json::json!([offset]);
        let batch = bench.request("POST", "/v1/traces").header("content-type", "application/json");
        let batch = batch.header("x-throughline-ingest-token", ingest_token["ingest_token"].as_str().unwrap());
        assert_eq!(batch.body(body.to_string()).send().await.unwrap().status(), 200);
        let of = |span: &Span| span.trace_id.to_string() == trace_id;
        let sent = eventually("the page's span", async || upstream.spans().into_iter().find(of)).await;
        let shift = sent.attribute("throughline.clock.shift_ms").and_then(Value::as_f64);
        let stored = bench.trace(&trace_id, 1).await.spans.remove(0).start_ns;
        (sent.start_ns - stored, shift)
    };
    assert_eq!(start_of(&plain, "off").await, (0, None));
    assert_eq!(start_of(&aligned, "on").await, (1_500_000_000, Some(1500.0)));
}

/// The inspector converts the server's spans to the page's clock, and an upstream receives the page's spans in the server's clock. Both
/// use the offset of the request with the smallest error.
#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_and_an_upstream_use_the_same_clock_offset() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let bench = Bench::start_with(&[], &env(&endpoint, &[("THROUGHLINE_ALIGN_CLOCKS", "on")]));
    let (trace_id, rough, precise) = (new_trace_id(), new_span_id(), new_span_id());
    let responses = [&rough, &precise].map(|parent| {
        let mut response = span(&trace_id, "response");
        response.kind = SpanKind::Server;
        response.parent_span_id = Some(SpanId::from_hex(parent).unwrap());
        response
    });
    bench.store(&responses).await;
    let ingest_token: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    let requests = as_json(&[(&trace_id, &rough, "GET"), (&trace_id, &precise, "GET")]);
    let mut body: serde_json::Value = serde_json::from_str(&requests).unwrap();
    for (number, (offset_ms, error_ms)) in [(1510.0, 20.0), (1500.0, 0.5)].into_iter().enumerate() {
        body["resourceSpans"][0]["scopeSpans"][0]["spans"][number]["attributes"] = serde_json::json!([
            { "key": "throughline.clock.offset_ms", "value": { "doubleValue": offset_ms } },
            { "key": "throughline.clock.error_ms", "value": { "doubleValue": error_ms } },
        ]);
    }
    let batch = bench.request("POST", "/v1/traces").header("content-type", "application/json");
    let batch = batch.header("x-throughline-ingest-token", ingest_token["ingest_token"].as_str().unwrap());
    assert_eq!(batch.body(body.to_string()).send().await.unwrap().status(), 200);

    let sent = eventually("all spans", async || Some(upstream.spans()).filter(|spans| spans.len() == 4)).await;
    let shifts_ms = sent.iter().filter_map(|span| span.attribute("throughline.clock.shift_ms")?.as_f64());
    assert_eq!(shifts_ms.collect::<Vec<_>>(), [1500.0, 1500.0]);
    let shown = bench.trace(&trace_id, 4).await.spans;
    for span in shown {
        let expected_ns = if span.name == "response" { -1_500_000_000 } else { 0 };
        assert_eq!(span.align_ns, expected_ns, "{}", span.name);
    }
}
