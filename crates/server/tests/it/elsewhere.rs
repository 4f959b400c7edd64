//! Clients on other machines, pages of other origins, and pages while the upstream is down.

use reqwest::header;
use throughline_inspector_api::MetricsStatus;
use throughline_otlp::{DataPoint, Encoding, KeyValue, Metric, Number, PointValue, decode, encode};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{
    Bench, Start as _, as_json, eventually, new_span_id, new_trace_id, read, refused, span, traceparent,
};

const TOKEN: &str = "0123456789abcdef";
const JSON: &str = "application/json";

#[tokio::test]
async fn the_otlp_receiver_requires_its_token_and_the_server_sends_it() {
    let bench = Bench::start_with(&["--otlp-token", TOKEN], &[]);
    let post = || bench.trusted("/v1/traces").header(header::CONTENT_TYPE, JSON).body("{}");
    let response = post().send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    assert_eq!(post().bearer_auth("0123456789abcdeF").send().await.unwrap().status(), 401);
    assert_eq!(post().bearer_auth(TOKEN).send().await.unwrap().status(), 200);
    // The server sends its own spans to the same receiver.
    let request = bench.get("/no/such/page").header("traceparent", traceparent(&new_trace_id(), &new_span_id()));
    assert_eq!(request.send().await.unwrap().status(), 404);
    eventually("a span of the server", async || (!bench.list(&[]).await.traces.is_empty()).then_some(())).await;
    assert!(!bench.server().output().contains(TOKEN));
}

#[tokio::test]
async fn pages_of_other_origins_cannot_read_traces() {
    let origin = "http://localhost:3000";
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", origin)]);
    bench.store(&[span(&new_trace_id(), "open")]).await;
    for path in ["/api/traces", "/api/traces/live", "/api/metrics", "/api/metrics/otlp"] {
        // Origins that may call the application cannot read traces either.
        for other in [origin, "http://evil.test", "null"] {
            refused(bench.get(path).header(header::ORIGIN, other), 403, "other_origin").await;
        }
        for site in ["cross-site", "same-site"] {
            refused(bench.get(path).header("sec-fetch-site", site), 403, "other_origin").await;
        }
        let own = bench.get(path).header(header::ORIGIN, bench.server().base()).send().await.unwrap();
        assert_eq!(own.status(), 200, "{path}");
        assert_eq!(own.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(own.headers()["cross-origin-resource-policy"], "same-origin");
        assert_eq!(own.headers()["x-frame-options"], "DENY");
    }
}

#[tokio::test]
async fn the_access_cookie_is_bound_to_the_host_over_tls() {
    let bench = Bench::start_with(&["--inspector-access", "token", "--access-token", TOKEN], &[]);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let enter = |protocol: &'static str| {
        client.get(bench.url(&format!("/traces?access_token={TOKEN}"))).header("x-forwarded-proto", protocol).send()
    };
    let cookie = |response: &reqwest::Response| {
        let cookies = response.headers().get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
        cookies.map(str::to_owned).find(|cookie| cookie.contains(TOKEN)).unwrap()
    };
    let plain = cookie(&enter("http").await.unwrap());
    assert!(plain.starts_with("throughline_access=") && !plain.contains("Secure"), "{plain}");
    let bound = cookie(&enter("https").await.unwrap());
    assert!(bound.starts_with("__Host-throughline_access=") && bound.contains("; Secure"), "{bound}");
    for cookie in [plain, bound] {
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let sent = cookie.split(';').next().unwrap().to_owned();
        let response = bench.get("/api/traces").header(header::COOKIE, sent).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(bench.get("/api/metrics").send().await.unwrap().status(), 401);
}

async fn send_from_a_page(bench: &Bench) -> u16 {
    let ingest_token: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    let request = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, JSON);
    let request = request.header("x-throughline-ingest-token", ingest_token["ingest_token"].as_str().unwrap());
    let body = as_json(&[(&new_trace_id(), &new_span_id(), "open")]);
    request.body(body).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_pages_are_accepted_while_the_upstream_is_down() {
    let unreachable = FakeHoneycomb::start("key").await.unwrap().endpoint();
    let failing = FakeHoneycomb::start("key").await.unwrap();
    failing.set_response(Behaviour::Status(503, None));
    for endpoint in [&unreachable, &failing.endpoint()] {
        let bench = Bench::start_with(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        for _ in 0..5 {
            assert_eq!(send_from_a_page(&bench).await, 200);
        }
        let failed = async || bench.server().output().contains("does not accept").then_some(());
        eventually("a failed request to the upstream", failed).await;
        assert_eq!(send_from_a_page(&bench).await, 200);
    }
}

fn point(value: i64) -> DataPoint {
    let metric = Metric { name: "queue.length".to_owned(), ..Metric::default() };
    DataPoint {
        attributes: vec![KeyValue::new("queue", "mail")],
        time_ns: u64::try_from(value).unwrap(),
        value: PointValue::Number(Number::Int(value)),
        ..DataPoint::new(metric.into(), Default::default(), Default::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_value_of_a_metric_survives_a_restart() {
    let mut bench = Bench::start();
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let sent = [point(1), point(if encoding == Encoding::Json { 3 } else { 2 })];
        let request = bench.trusted("/v1/metrics").header(header::CONTENT_TYPE, encoding.content_type());
        assert_eq!(request.body(encode(&sent, encoding)).send().await.unwrap().status(), 200);
    }
    assert!(tokio::task::block_in_place(|| bench.restart()).success());
    let status: MetricsStatus = bench.read("/api/metrics").await;
    assert_eq!((status.received, status.series, status.lost), (4, 1, 0));
    for (name, last) in [("", vec![point(3)]), ("?name=queue.length", vec![point(3)]), ("?name=other", vec![])] {
        let body = bench.get(&format!("/api/metrics/otlp{name}")).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(decode::<DataPoint>(&body, Encoding::Json).unwrap().records, last);
    }
}
