//! Tests of the layer around a real router, with spans from the real SDK.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::time::Duration;

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, Status, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use throughline_axum::{RemoteParent, TraceLayer, current_trace_id};
use throughline_context::TraceParent;
use throughline_propagator::Propagator;
use throughline_timing::server_timing::{METRIC, ServerTimes, parse};
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::{Registry, layer::SubscriberExt};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn router(layer: TraceLayer) -> Router {
    Router::new()
        .route("/users/{id}", get(|| async { current_trace_id().unwrap_or_default() }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
        .route("/slow", get(std::future::pending::<()>))
        .layer(layer)
}

fn get_request(uri: &str) -> http::request::Builder {
    Request::get(uri).header("host", "app.example:8080")
}

/// Runs `requests` against a router with `layer`. Returns the responses with their bodies, and the spans.
async fn drive(layer: TraceLayer, requests: Vec<Request<Body>>) -> (Vec<Response<String>>, Vec<SpanData>) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = Registry::default().with(spans);
    let app = router(layer);
    let responses = async move {
        let mut responses = Vec::new();
        for request in requests {
            let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            responses.push(Response::from_parts(parts, body));
        }
        responses
    };
    let responses = responses.with_subscriber(subscriber).await;
    provider.force_flush().unwrap();
    (responses, exporter.get_finished_spans().unwrap())
}

fn attribute<'s>(span: &'s SpanData, key: &str) -> Option<&'s Value> {
    let mut found = span.attributes.iter().filter(|attribute: &&KeyValue| attribute.key.as_str() == key);
    let value = found.next().map(|attribute| &attribute.value);
    assert!(found.next().is_none(), "duplicate {key}");
    value
}

fn text(span: &SpanData, key: &str) -> String {
    attribute(span, key).unwrap_or_else(|| panic!("no {key} in {:?}", span.attributes)).to_string()
}

fn layer() -> TraceLayer {
    TraceLayer::new("instance-1").propagator(Propagator::new())
}

#[tokio::test]
async fn the_clients_trace_is_continued_and_reported_in_server_timing() {
    let request = get_request("/users/7?sig=secret&a=b").header("traceparent", PARENT).body(Body::empty()).unwrap();
    let (responses, spans) = drive(layer(), vec![request]).await;
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.name, "GET /users/{id}");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.span_context.trace_id().to_string(), &PARENT[3..35]);
    assert_eq!(span.parent_span_id.to_string(), &PARENT[36..52]);
    assert_eq!(span.status, Status::Unset);
    assert_eq!(text(span, "http.request.method"), "GET");
    assert_eq!(text(span, "http.route"), "/users/{id}");
    assert_eq!(text(span, "url.path"), "/users/7");
    assert_eq!(text(span, "url.query"), "sig=REDACTED&a=b");
    assert_eq!(text(span, "server.address"), "app.example");
    assert_eq!(text(span, "server.port"), "8080");
    assert_eq!(text(span, "http.response.status_code"), "200");
    assert_eq!(attribute(span, "error.type"), None);
    assert_eq!(responses[0].body(), &PARENT[3..35]);

    let header = responses[0].headers()["server-timing"].to_str().unwrap();
    let metrics = parse(header);
    let find =
        |name: &str| metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.desc.clone()).unwrap();
    for name in ["traceparent", "trace"] {
        let context = TraceParent::parse(find(name).as_bytes()).unwrap();
        assert_eq!(context.parent_id.to_string(), span.span_context.span_id().to_string());
    }
    let times = ServerTimes::parse(&find(METRIC)).unwrap();
    assert_eq!(times.instance, "instance-1");
    assert_eq!(times.client_span.as_deref(), Some(&PARENT[36..52]));
    assert!(times.sent_ns >= times.received_ns);
}

#[tokio::test]
async fn only_5xx_are_errors_and_unmatched_requests_have_no_route() {
    let requests = ["/broken", "/missing", "/nowhere"].map(|uri| get_request(uri).body(Body::empty()).unwrap());
    let (_, spans) = drive(layer(), requests.into()).await;
    let [broken, missing, nowhere] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(broken.status, Status::error(""));
    assert_eq!(text(broken, "error.type"), "500");
    assert_eq!((&missing.status, text(missing, "http.response.status_code")), (&Status::Unset, "404".to_owned()));
    assert_eq!(attribute(missing, "error.type"), None);
    assert_eq!(nowhere.name, "GET");
    assert_eq!(attribute(nowhere, "http.route"), None);
}

#[tokio::test]
async fn an_unknown_method_is_recorded_as_other_with_the_original() {
    let request = Request::builder().method("BREW").uri("/users/7").body(Body::empty()).unwrap();
    let (_, spans) = drive(layer(), vec![request]).await;
    assert_eq!(spans[0].name, "HTTP /users/{id}");
    assert_eq!(text(&spans[0], "http.request.method"), "_OTHER");
    assert_eq!(text(&spans[0], "http.request.method_original"), "BREW");
}

#[tokio::test]
async fn a_context_that_is_not_continued_becomes_a_link() {
    let request = get_request("/users/7").header("traceparent", PARENT).body(Body::empty()).unwrap();
    let (_, spans) = drive(layer().remote_parent(RemoteParent::Never), vec![request]).await;
    assert_ne!(spans[0].span_context.trace_id().to_string(), &PARENT[3..35]);
    assert_eq!(spans[0].links.len(), 1);
    assert_eq!(spans[0].links.links[0].span_context.span_id().to_string(), &PARENT[36..52]);
}

#[tokio::test]
async fn two_traceparent_headers_are_ignored() {
    let request =
        get_request("/users/7").header("traceparent", PARENT).header("traceparent", PARENT).body(Body::empty());
    let (_, spans) = drive(layer(), vec![request.unwrap()]).await;
    assert_ne!(spans[0].span_context.trace_id().to_string(), &PARENT[3..35]);
}

#[tokio::test]
async fn a_document_request_gets_a_generated_parent_for_the_page() {
    let document = |uri| get_request(uri).header("sec-fetch-dest", "document").body(Body::empty()).unwrap();
    let narrowed = layer().documents(|request: &http::request::Parts| request.uri.path() != "/missing");
    let (responses, spans) = drive(narrowed, vec![document("/users/7"), document("/missing")]).await;
    let header = responses[0].headers()["server-timing"].to_str().unwrap();
    assert!(header.contains(&format!("c={}", spans[0].parent_span_id)), "{header}");
    assert_eq!(spans[1].parent_span_id, opentelemetry::SpanId::INVALID);
}

#[tokio::test]
async fn filtered_requests_are_not_traced() {
    let request = get_request("/users/7").body(Body::empty()).unwrap();
    let (responses, spans) = drive(layer().filter(|_: &http::request::Parts| false), vec![request]).await;
    assert!(spans.is_empty());
    assert!(!responses[0].headers().contains_key("server-timing"));
}

#[tokio::test]
async fn timing_is_allowed_for_configured_origins() {
    let request = || get_request("/users/7").body(Body::empty()).unwrap();
    let origin = HeaderValue::from_static("https://app.example");
    let (responses, _) = drive(layer().timing_allow_origin(origin), vec![request()]).await;
    assert_eq!(responses[0].headers()["timing-allow-origin"], "https://app.example");
    let (responses, _) = drive(layer(), vec![request()]).await;
    assert!(!responses[0].headers().contains_key("timing-allow-origin"));
}

#[tokio::test]
async fn a_dropped_request_is_cancelled() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber = Registry::default().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let request = get_request("/slow").body(Body::empty()).unwrap();
    let dropped = tokio::time::timeout(Duration::from_millis(10), router(layer()).oneshot(request));
    assert!(dropped.with_subscriber(subscriber).await.is_err());
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(text(&spans[0], "error.type"), "cancelled");
    assert!(matches!(spans[0].status, Status::Error { .. }));
}
