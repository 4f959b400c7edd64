//! Tests of the receivers through their routers, with a real store. Most tests run for spans and for log records.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

/// Creates a test for spans and a test for log records from each function.
macro_rules! for_both {
    ($($name:ident)*) => {
        mod spans {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<throughline_otlp::Span>().await;
            })*
        }
        mod log_records {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<throughline_otlp::LogRecord>().await;
            })*
        }
    };
}

mod bodies;
mod browsers;
mod grpc;
mod metrics;
mod sample;

use self::{
    bodies::{Bomb, Broken, Silent},
    sample::{Sample, attribute, set, trace_id},
};
use axum::{Router, body::Body, response::Response};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use throughline_context::keys;
use throughline_intake::{
    ClientAddress, INGEST_TOKEN_HEADER, IngestToken, IngestTokenKey, Intake, IntakeConfig, RateLimit, RecordStats,
    SessionId, otlp_router, page_router,
};
use throughline_otlp::{Encoding, KeyValue, LogRecord, Signal, Span, Value, encode, encode_response};
use throughline_store::{SpanStore as _, Store};
use tower::ServiceExt as _;

const SERVICE: &str = "shop-web";
const SESSION: &str = "0123456789abcdef0123456789abcdef";
const BOTH: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    intake: Intake,
}

fn key() -> IngestTokenKey {
    IngestTokenKey::from_bytes([42; 32])
}

fn bench() -> Bench {
    bench_with(|_| {})
}

fn bench_with(change: impl FnOnce(&mut IntakeConfig)) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut config = IntakeConfig::new(key(), SERVICE);
    config.resource_attributes = vec![KeyValue::new("deployment.environment.name", "test")];
    change(&mut config);
    Bench { _dir: dir, intake: Intake::new(store.clone(), config), store }
}

impl Bench {
    fn public(&self) -> Router {
        page_router(self.intake.clone())
    }

    fn trusted(&self) -> Router {
        otlp_router(self.intake.clone())
    }

    fn ingest_token(&self) -> String {
        self.intake.issue_ingest_token(Some(SESSION)).unwrap().ingest_token
    }

    async fn stored<R: Sample>(&self) -> Vec<R> {
        R::stored(&self.store).await
    }

    fn stats<R: Sample>(&self) -> RecordStats {
        let stats = self.intake.stats();
        match R::SIGNAL {
            Signal::Traces => stats.spans,
            Signal::Logs => stats.log_records,
            Signal::Metrics => stats.data_points,
        }
    }

    async fn is_empty(&self) -> bool {
        let counts = self.store.counts().await.unwrap();
        counts.spans == 0 && counts.log_records == 0
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

/// Creates a request with this body for the route of `R`.
fn post<R: Sample>(encoding: Encoding, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(R::SIGNAL.path()).header(header::CONTENT_TYPE, encoding.content_type());
    request.body(body.into()).unwrap()
}

/// Creates a request with these records.
fn records<R: Sample>(encoding: Encoding, records: &[R]) -> Request<Body> {
    post::<R>(encoding, encode(records, encoding))
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

async fn send(router: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let response: Response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers[header::CONTENT_TYPE].to_str().unwrap()
}

/// Sends a request and asserts that it is refused with a `google.rpc.Status` in the encoding of the request.
async fn refused(
    router: Router,
    request: Request<Body>,
    encoding: Encoding,
    status: u16,
    code: i32,
    words: &str,
) -> HeaderMap {
    let (actual, headers, body) = send(router, request).await;
    assert_eq!(actual.as_u16(), status, "{words}: {}", String::from_utf8_lossy(&body));
    assert_eq!(content_type(&headers), encoding.content_type(), "{words}");
    match encoding {
        Encoding::Json => {
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["code"], code);
            assert!(body["message"].as_str().unwrap().contains(words), "{words}: {body}");
        }
        Encoding::Protobuf => {
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(text.contains(words), "{words}: {text}");
            assert_eq!(body[..2], [0x08, u8::try_from(code).unwrap()], "the code");
        }
    }
    headers
}

for_both! {
    the_otlp_receiver_stores_both_encodings_plain_and_compressed
    a_content_type_may_have_parameters
    an_empty_body_is_a_success
    a_retry_is_stored_once
    invalid_ids_are_a_partial_success
    every_refusal_mirrors_the_content_type
    other_content_types_are_refused_in_json
    other_methods_than_post_are_refused
    a_page_is_refused_at_the_otlp_receiver
    a_stalled_body_times_out
    an_endless_gzip_body_is_stopped_at_the_limit
    the_server_replaces_the_claimed_identity
    the_peer_address_is_the_default_client_address
    requests_without_a_valid_ingest_token_are_refused
    the_ingest_token_may_be_in_the_query
    only_records_of_another_session_are_rejected
    the_page_receiver_limits_batches_and_attributes
    a_session_above_its_rate_is_refused
    requests_from_other_sites_are_refused
}

async fn the_otlp_receiver_stores_both_encodings_plain_and_compressed<R: Sample>() {
    let bench = bench();
    for (number, (encoding, compressed)) in
        BOTH.into_iter().flat_map(|encoding| ["", "gzip", "zstd"].map(|by| (encoding, by))).enumerate()
    {
        let body = encode(&[R::sample(number as u64)], encoding);
        let request = match compressed {
            "gzip" => with(post::<R>(encoding, gzip(&body)), "content-encoding", "gzip"),
            "zstd" => with(post::<R>(encoding, zstd(&body)), "content-encoding", "zstd"),
            _ => post::<R>(encoding, body),
        };
        let (status, headers, body) = send(bench.trusted(), request).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(content_type(&headers), encoding.content_type());
        assert_eq!(body, encode_response(R::SIGNAL, &[], encoding));
    }
    assert_eq!(bench.stored::<R>().await, (0..6).map(R::sample).collect::<Vec<_>>());
    assert_eq!(bench.stats::<R>().accepted, 6);
}

async fn a_content_type_may_have_parameters<R: Sample>() {
    let bench = bench();
    let request = with(records(Encoding::Json, &[R::sample(0)]), "content-type", "application/json; charset=utf-8");
    assert_eq!(send(bench.trusted(), request).await.0, StatusCode::OK);
    assert_eq!(bench.stored::<R>().await.len(), 1);
}

async fn an_empty_body_is_a_success<R: Sample>() {
    let bench = bench();
    for encoding in BOTH {
        for router in [bench.trusted(), bench.public()] {
            let request = with(post::<R>(encoding, Body::empty()), INGEST_TOKEN_HEADER, &bench.ingest_token());
            let (status, headers, body) = send(router, request).await;
            assert_eq!((status, content_type(&headers)), (StatusCode::OK, encoding.content_type()));
            assert_eq!(body, encode_response(R::SIGNAL, &[], encoding));
        }
    }
}

async fn a_retry_is_stored_once<R: Sample>() {
    let bench = bench();
    for _ in 0..2 {
        let request = records(Encoding::Protobuf, &[R::sample(0)]);
        assert_eq!(send(bench.trusted(), request).await.0, StatusCode::OK);
    }
    let stats = bench.stats::<R>();
    assert_eq!((stats.accepted, stats.duplicates, bench.intake.stats().accepted_requests), (1, 1, 2));
}

async fn invalid_ids_are_a_partial_success<R: Sample>() {
    let bench = bench();
    // The trace id of the second record is shortened.
    let body = encode(&[R::sample(0), R::sample(1)], Encoding::Json);
    let body = String::from_utf8(body).unwrap();
    let at = body.rfind(&trace_id().to_string()).unwrap();
    let body = format!("{}{}", &body[..at], &body[at + 1..]);
    let (status, _, body) = send(bench.trusted(), post::<R>(Encoding::Json, body)).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"][R::REJECTED], "1");
    assert!(body["partialSuccess"]["errorMessage"].as_str().unwrap().contains("sample 1"), "{body}");
    assert_eq!(bench.stored::<R>().await.len(), 1);
    assert_eq!(bench.stats::<R>().rejected.invalid, 1);
}

async fn every_refusal_mirrors_the_content_type<R: Sample>() {
    const KIB: usize = 1 << 10;
    let bench = bench_with(|config| {
        let limits = &mut config.limits;
        (limits.otlp_body.wire_bytes, limits.otlp_body.inflated_bytes) = (40 * KIB, 200 * KIB);
        (limits.page_body.wire_bytes, limits.page_body.inflated_bytes) = (10 * KIB, 50 * KIB);
    });
    for encoding in BOTH {
        let ingest_token = bench.ingest_token();
        for (router, wire, inflated) in [(bench.trusted(), 40 * KIB, 200 * KIB), (bench.public(), 10 * KIB, 50 * KIB)] {
            let post = |body: Vec<u8>| with(post::<R>(encoding, body), INGEST_TOKEN_HEADER, &ingest_token);
            let garbage = vec![0xff; 10];
            refused(router.clone(), post(garbage.clone()), encoding, 400, 3, "the body is not OTLP").await;
            let request = with(post(garbage), "content-encoding", "gzip");
            refused(router.clone(), request, encoding, 400, 3, "the body is not gzip").await;
            let request = with(post(Vec::new()), "content-encoding", "br");
            refused(router.clone(), request, encoding, 415, 3, "content encoding").await;
            let words = format!("larger than {wire} bytes");
            refused(router.clone(), post(vec![0; wire + 1]), encoding, 413, 3, &words).await;
            let words = format!("larger than {inflated} bytes after decompression");
            let bomb = vec![0; inflated + 1];
            for (name, bomb) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
                let request = with(post(bomb), "content-encoding", name);
                refused(router.clone(), request, encoding, 413, 3, &words).await;
            }
            let broken = with(
                Request::post(R::SIGNAL.path()).body(Body::new(Broken)).unwrap(),
                "content-type",
                encoding.content_type(),
            );
            let broken = with(broken, INGEST_TOKEN_HEADER, &ingest_token);
            refused(router, broken, encoding, 400, 3, "the body is incomplete").await;
        }
    }
    let stats = bench.intake.stats();
    assert_eq!((stats.accepted_requests, stats.inflated_bytes), (0, 4 * 10));
    assert!(bench.is_empty().await);
}

async fn other_content_types_are_refused_in_json<R: Sample>() {
    let bench = bench();
    for other in ["text/plain", "application/grpc", ""] {
        let request = with(post::<R>(Encoding::Json, "{}"), "content-type", other);
        refused(bench.trusted(), request, Encoding::Json, 415, 3, "content type").await;
    }
    assert_eq!(bench.intake.stats().refused_requests.media_type, 3);
}

async fn other_methods_than_post_are_refused<R: Sample>() {
    let bench = bench();
    for router in [bench.trusted(), bench.public()] {
        let request = Request::get(R::SIGNAL.path()).body(Body::empty()).unwrap();
        assert_eq!(send(router, request).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
}

async fn a_page_is_refused_at_the_otlp_receiver<R: Sample>() {
    let bench = bench();
    let request = with(post::<R>(Encoding::Json, "{}"), "origin", "http://127.0.0.1:4318");
    refused(bench.trusted(), request, Encoding::Json, 403, 7, "origin").await;
}

async fn a_stalled_body_times_out<R: Sample>() {
    let bench = bench_with(|config| config.limits.otlp_body.timeout = Duration::from_millis(20));
    let request = Request::post(R::SIGNAL.path()).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::new(Silent { head: Some(b"{\"resource".as_slice().into()) })).unwrap();
    refused(bench.trusted(), request, Encoding::Json, 408, 4, "in time").await;
}

async fn an_endless_gzip_body_is_stopped_at_the_limit<R: Sample>() {
    let bench = bench();
    let request = with(post::<R>(Encoding::Protobuf, Body::new(Bomb)), "content-encoding", "gzip");
    let words = format!("larger than {} bytes after decompression", 4 << 20);
    refused(
        bench.public(),
        with(request, INGEST_TOKEN_HEADER, &bench.ingest_token()),
        Encoding::Protobuf,
        413,
        3,
        &words,
    )
    .await;
    // 4 MiB of zeros are about 4 KiB of deflate: no more than that was read.
    assert!(bench.intake.stats().wire_bytes < 10_000, "{:?}", bench.intake.stats());
}

async fn the_server_replaces_the_claimed_identity<R: Sample>() {
    let bench = bench();
    let claims = vec![
        KeyValue::new("client.address", "192.0.2.1"),
        KeyValue::new(keys::CLIENT_REPORTED, false),
        KeyValue::new(keys::RECEIVED_NS, 1),
        KeyValue::new("session.id", SESSION),
        KeyValue::new("SampleRate", 1_000_000),
        KeyValue::new("http.request.method", "GET"),
    ];
    let before = now_ns();
    let with_claims = set(R::sample(0), claims);
    let request = records(Encoding::Protobuf, &[with_claims, R::sample(1)]);
    let mut request = with(request, INGEST_TOKEN_HEADER, &bench.ingest_token());
    request.extensions_mut().insert(ClientAddress(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9))));
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);

    let stored = bench.stored::<R>().await;
    assert_eq!(stored.len(), 2);
    for record in &stored {
        let only = |key: &str| {
            let mut values = record.attributes().iter().filter(|attribute| attribute.key == key);
            let value = values.next().map(|attribute| attribute.value.clone());
            assert!(values.next().is_none(), "{key} twice");
            value
        };
        assert_eq!(only("client.address"), Some(Value::from("203.0.113.9")));
        assert_eq!(only(keys::CLIENT_REPORTED), Some(Value::Bool(true)));
        assert_eq!(only("session.id"), Some(Value::from(SESSION)));
        assert_eq!(only("SampleRate"), None);
        let received = only(keys::RECEIVED_NS).unwrap().as_i64().unwrap();
        assert!((before..=now_ns()).contains(&received));

        let (resource, scope) = record.source();
        assert_eq!(resource.service_name(), SERVICE);
        let mut keys: Vec<_> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["browser.language", "deployment.environment.name", "service.name", "user_agent.original"]);
        assert_eq!(resource.attribute("deployment.environment.name"), Some(&Value::from("test")));
        assert_eq!(scope.name, "scope");
    }
    assert_eq!(attribute(&stored[0], "http.request.method"), Some(&Value::from("GET")));
}

async fn the_peer_address_is_the_default_client_address<R: Sample>() {
    let bench = bench();
    let mut request = with(records(Encoding::Protobuf, &[R::sample(0)]), INGEST_TOKEN_HEADER, &bench.ingest_token());
    let peer: SocketAddr = "[::ffff:198.51.100.7]:5000".parse().unwrap();
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    assert_eq!(attribute(&bench.stored::<R>().await[0], "client.address"), Some(&Value::from("198.51.100.7")));

    let other = set(R::sample(1), vec![KeyValue::new("client.address", "192.0.2.1")]);
    let request = with(records(Encoding::Protobuf, &[other]), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    assert_eq!(attribute(&bench.stored::<R>().await[1], "client.address"), None, "an unknown address is left out");
}

async fn requests_without_a_valid_ingest_token_are_refused<R: Sample>() {
    let bench = bench();
    let now_s = u64::try_from(now_ns() / 1_000_000_000).unwrap();
    let session: SessionId = SESSION.parse().unwrap();
    let ttl = Duration::from_secs(900);
    let foreign_key = IngestToken::issue(&IngestTokenKey::from_bytes([1; 32]), session, SERVICE, now_s, ttl);
    let foreign_service = IngestToken::issue(&key(), session, "bank", now_s, ttl);
    let expired = IngestToken::issue(&key(), session, SERVICE, now_s - 901, ttl);
    for encoding in BOTH {
        let post = || records(encoding, &[R::sample(0)]);
        refused(bench.public(), post(), encoding, 401, 16, "no ingest token").await;
        for (ingest_token, words) in [
            ("", "malformed"),
            ("v1.1.2.3", "malformed"),
            (foreign_key.as_str(), "not issued by this server"),
            (foreign_service.as_str(), "not issued by this server"),
            (expired.as_str(), "expired"),
        ] {
            let request = with(post(), INGEST_TOKEN_HEADER, ingest_token);
            refused(bench.public(), request, encoding, 401, 16, words).await;
            let mut request = post();
            *request.uri_mut() = format!("{}?ingest_token={ingest_token}", R::SIGNAL.path()).parse().unwrap();
            refused(bench.public(), request, encoding, 401, 16, words).await;
        }
    }
    assert!(bench.is_empty().await);
    assert_eq!(bench.intake.stats().refused_requests.ingest_token, 2 * (1 + 2 * 5));
}

async fn the_ingest_token_may_be_in_the_query<R: Sample>() {
    let bench = bench();
    let mut request = records(Encoding::Protobuf, &[R::sample(0)]);
    *request.uri_mut() = format!("{}?a=b&ingest_token={}", R::SIGNAL.path(), bench.ingest_token()).parse().unwrap();
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    assert_eq!(bench.stored::<R>().await.len(), 1);
}

async fn only_records_of_another_session_are_rejected<R: Sample>() {
    let bench = bench();
    let claiming = |number, session: Value| {
        set(R::sample(number), vec![KeyValue { key: "session.id".to_owned(), value: session }])
    };
    let claims = [
        claiming(0, Value::from(SESSION)),
        claiming(1, Value::from("fedcba9876543210fedcba9876543210")),
        claiming(2, Value::from(7)),
        R::sample(3),
    ];
    let request = records(Encoding::Json, &claims);
    let (status, _, body) = send(bench.public(), with(request, INGEST_TOKEN_HEADER, &bench.ingest_token())).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"][R::REJECTED], "2");
    let names: Vec<_> = bench.stored::<R>().await.iter().map(|record| record.title().to_owned()).collect();
    assert_eq!(names, ["sample 0", "sample 3"]);
    assert_eq!(bench.stats::<R>().rejected.foreign_session, 2);
}

async fn the_page_receiver_limits_batches_and_attributes<R: Sample>() {
    let bench = bench_with(|config| config.limits.spans_per_batch = 3);
    let attributes = (0..200).map(|number| KeyValue::new(format!("k{number}"), "x".repeat(5_000))).collect();
    let long = set(R::sample(0), attributes);
    let samples: Vec<_> = std::iter::once(long).chain((1..5).map(R::sample)).collect();
    let request = records(Encoding::Json, &samples);
    let (status, _, body) = send(bench.public(), with(request, INGEST_TOKEN_HEADER, &bench.ingest_token())).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"][R::REJECTED], "2");
    let stored = bench.stored::<R>().await;
    assert_eq!(stored.len(), 3);
    assert_eq!(stored[0].dropped_attributes_count(), 72);
    assert_eq!(attribute(&stored[0], "k127"), Some(&Value::from("x".repeat(4_096))));
    assert_eq!(attribute(&stored[0], "k128"), None);
    assert_eq!(attribute(&stored[0], keys::CLIENT_REPORTED), Some(&Value::Bool(true)), "it is never left out");
    let stats = bench.intake.stats();
    let rejected = bench.stats::<R>().rejected.batch_limit;
    assert_eq!((rejected, stats.cut_attributes, stats.cut_values), (2, 72, 128));
}

async fn a_session_above_its_rate_is_refused<R: Sample>() {
    let bench = bench_with(|config| config.limits.session_rate = RateLimit::new(1, 4));
    let samples: Vec<_> = (0..10).map(R::sample).collect();
    let flood = || with(records(Encoding::Json, &samples), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), flood()).await.0, StatusCode::OK);
    let headers = refused(bench.public(), flood(), Encoding::Json, 429, 8, "slow down").await;
    let wait: u64 = headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=7).contains(&wait), "{wait}");

    let other = bench.intake.issue_ingest_token(None).unwrap().ingest_token;
    let request = with(records(Encoding::Json, &[R::sample(20)]), INGEST_TOKEN_HEADER, &other);
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
}

async fn requests_from_other_sites_are_refused<R: Sample>() {
    let bench = bench_with(|config| config.allowed_origins = vec!["https://shop.example".to_owned()]);
    let batch = || {
        let request = records(Encoding::Json, &[R::sample(0)]);
        with(with(request, INGEST_TOKEN_HEADER, &bench.ingest_token()), "host", "app.example")
    };
    let ingest_token = || with(Request::post("/v1/ingest-token").body(Body::empty()).unwrap(), "host", "app.example");
    for request in [&batch, &ingest_token] as [&dyn Fn() -> Request<Body>; 2] {
        for origin in ["https://evil.example", "null"] {
            refused(bench.public(), with(request(), "origin", origin), Encoding::Json, 403, 7, "origin").await;
        }
        let request_from_elsewhere = with(request(), "sec-fetch-site", "cross-site");
        refused(bench.public(), request_from_elsewhere, Encoding::Json, 403, 7, "origin").await;
        for origin in ["https://app.example", "https://shop.example"] {
            assert_eq!(send(bench.public(), with(request(), "origin", origin)).await.0, StatusCode::OK);
        }
    }
}

/// Both kinds of records use the same bucket of a session.
#[tokio::test]
async fn spans_and_log_records_share_a_rate() {
    let bench = bench_with(|config| config.limits.session_rate = RateLimit::new(1, 4));
    let samples: Vec<Span> = (0..10).map(Span::sample).collect();
    let flood = with(records(Encoding::Json, &samples), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), flood).await.0, StatusCode::OK);
    let one = with(records(Encoding::Json, &[LogRecord::sample(0)]), INGEST_TOKEN_HEADER, &bench.ingest_token());
    refused(bench.public(), one, Encoding::Json, 429, 8, "slow down").await;
}

/// A page may retry later and from another network.
#[tokio::test]
async fn a_log_record_that_a_page_retries_is_stored_once() {
    let bench = bench();
    for (number, last) in [1, 2].into_iter().enumerate() {
        let request = records(Encoding::Protobuf, &[LogRecord::sample(0)]);
        let mut request = with(request, INGEST_TOKEN_HEADER, &bench.ingest_token());
        request.extensions_mut().insert(ClientAddress(IpAddr::V4(Ipv4Addr::new(203, 0, 113, last))));
        assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
        assert_eq!(bench.intake.stats().log_records.duplicates, number as u64);
    }
    let stored = bench.stored::<LogRecord>().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(attribute(&stored[0], "client.address"), Some(&Value::from("203.0.113.1")), "the first record is kept");
}

#[tokio::test]
async fn a_log_record_need_not_belong_to_a_trace() {
    let bench = bench();
    let mut record = LogRecord::sample(0);
    record.trace_id = None;
    for router in [bench.trusted(), bench.public()] {
        let request = with(records(Encoding::Json, &[record.clone()]), INGEST_TOKEN_HEADER, &bench.ingest_token());
        assert_eq!(send(router, request).await.0, StatusCode::OK);
    }
    let stored = bench.store.logs_after(0, 10).await.unwrap();
    assert_eq!(stored.len(), 2, "the receivers store different records");
    assert_eq!(stored[0].1, record, "unchanged");
    assert_eq!((stored[1].1.trace_id, &stored[1].1.body), (None, &record.body));
}

#[tokio::test]
async fn records_of_another_signal_are_ignored() {
    let bench = bench();
    let spans = encode(&[Span::sample(0)], Encoding::Json);
    assert_eq!(send(bench.trusted(), post::<LogRecord>(Encoding::Json, spans)).await.0, StatusCode::OK);
    let log_records = encode(&[LogRecord::sample(0)], Encoding::Json);
    assert_eq!(send(bench.trusted(), post::<Span>(Encoding::Json, log_records)).await.0, StatusCode::OK);
    assert!(bench.is_empty().await, "fields of another signal are ignored");
}

async fn request_ingest_token(bench: &Bench, body: &str) -> (StatusCode, HeaderMap, serde_json::Value) {
    let request = Request::post("/v1/ingest-token").header(header::CONTENT_TYPE, "application/json");
    let (status, headers, body) = send(bench.public(), request.body(Body::from(body.to_owned())).unwrap()).await;
    (status, headers, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn ingest_tokens_are_issued_for_existing_and_new_sessions() {
    let bench = bench();
    let mut sessions = Vec::new();
    for body in ["", "{}", r#"{"session_id":null}"#, &format!(r#"{{"session_id":"{SESSION}"}}"#)] {
        let (status, headers, ingest_token) = request_ingest_token(&bench, body).await;
        assert_eq!(status, StatusCode::OK, "{ingest_token}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(ingest_token["expires_in_s"], 900);
        let session = ingest_token["session_id"].as_str().unwrap().to_owned();
        let ingest_token = ingest_token["ingest_token"].as_str().unwrap();
        let now_s = u64::try_from(now_ns() / 1_000_000_000).unwrap();
        let claims = IngestToken::verify(&key(), SERVICE, ingest_token, now_s).unwrap();
        assert_eq!(claims.session_id.to_string(), session);
        sessions.push(session);
    }
    assert_eq!(sessions[3], SESSION);
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 4, "all sessions differ");
}

#[tokio::test]
async fn malformed_ingest_token_requests_are_refused() {
    let bench = bench();
    for body in [r#"{"session_id":"me"}"#, r#"{"session_id":7}"#, "[", "\"\""] {
        let (status, _, response) = request_ingest_token(&bench, body).await;
        assert_eq!((status, &response["code"]), (StatusCode::BAD_REQUEST, &3.into()), "{body}");
    }
    let (status, ..) = request_ingest_token(&bench, &" ".repeat(2_000)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

fn now_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
