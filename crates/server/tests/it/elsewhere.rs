//! Who is not on this machine, or not of this origin; and pages while the upstream is away.

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
async fn with_a_token_the_otlp_receiver_wants_it_and_the_server_has_it() {
    let bench = Bench::start_with(&["--otlp-token", TOKEN], &[]);
    let post = || bench.trusted("/v1/traces").header(header::CONTENT_TYPE, JSON).body("{}");
    let response = post().send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    assert_eq!(post().bearer_auth("0123456789abcdeF").send().await.unwrap().status(), 401);
    assert_eq!(post().bearer_auth(TOKEN).send().await.unwrap().status(), 200);
    // Its own spans come through the same receiver.
    let request = bench.get("/no/such/page").header("traceparent", traceparent(&new_trace_id(), &new_span_id()));
    assert_eq!(request.send().await.unwrap().status(), 404);
    eventually("a span of the server", async || (!bench.list(&[]).await.traces.is_empty()).then_some(())).await;
    assert!(!bench.server().output().contains(TOKEN));
}

#[tokio::test]
async fn pages_of_other_origins_see_no_traces() {
    let origin = "http://localhost:3000";
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", origin)]);
    bench.store(&[span(&new_trace_id(), "open")]).await;
    for path in ["/api/traces", "/api/traces/live", "/api/metrics", "/api/metrics/otlp"] {
        // Not even those that may call the application.
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
async fn the_cookie_of_the_token_is_bound_to_the_host_over_tls() {
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
        let asked = bench.get("/api/traces").header(header::COOKIE, sent).send().await.unwrap();
        assert_eq!(asked.status(), 200);
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
async fn pages_do_not_feel_that_the_upstream_is_down() {
    let gone = FakeHoneycomb::start("key").await.unwrap().endpoint();
    let refusing = FakeHoneycomb::start("key").await.unwrap();
    refusing.set_response(Behaviour::Status(503, None));
    for endpoint in [&gone, &refusing.endpoint()] {
        let bench = Bench::start_with(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        for _ in 0..5 {
            assert_eq!(send_from_a_page(&bench).await, 200);
        }
        let failed = async || bench.server().output().contains("does not accept").then_some(());
        eventually("the upstream was asked in vain", failed).await;
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
async fn the_last_value_of_a_metric_is_kept_over_a_restart() {
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
