//! Tests of span names, attributes and status against the OpenTelemetry semantic conventions.

use std::sync::{Arc, Mutex};

use axum::{Router, http::StatusCode, routing::get};
use opentelemetry::{
    Context, KeyValue, TraceId, Value,
    trace::{Link, SpanKind, Status, TraceState, TracerProvider},
};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use throughline_axum::TraceLayer;
use tower::ServiceExt;

use crate::harness::{Telemetry, Way, exchange, get as get_request, request, serve, text, value};

fn router(layer: TraceLayer) -> Router {
    Router::new()
        .route("/users/{id}", get(|| async { "user" }).fallback(|| async { "any method" }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/unavailable", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/bad", get(|| async { StatusCode::BAD_REQUEST }))
        .layer(layer)
}

#[tokio::test]
async fn a_span_has_the_attributes_of_the_conventions() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        let sent = request("GET", "/users/7?sig=secret&a=b", "user-agent: test/1.0\r\n");
        assert!(exchange(address, &sent).await.starts_with("HTTP/1.1 200"));
        let span = telemetry.span().await;
        assert_eq!((span.name.as_ref(), &span.span_kind), ("GET /users/{id}", &SpanKind::Server), "{way:?}");
        assert_eq!(span.status, Status::Unset);
        for (key, expected) in [
            ("http.request.method", "GET"),
            ("http.route", "/users/{id}"),
            ("http.response.status_code", "200"),
            ("url.scheme", "http"),
            ("url.path", "/users/7"),
            ("url.query", "sig=REDACTED&a=b"),
            ("server.address", "app.example"),
            ("server.port", "8080"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "test/1.0"),
            ("http.response.body.size", "4"),
        ] {
            assert_eq!(text(&span, key), expected, "{key}, {way:?}");
        }
        assert!(matches!(value(&span, "throughline.server.time_to_first_byte_ms"), Some(Value::F64(ms)) if *ms >= 0.0));
        assert_eq!(value(&span, "error.type"), None);
        assert_eq!(value(&span, "http.request.method_original"), None);
        assert_eq!(value(&span, "network.peer.address"), None, "the same as client.address");
        assert_eq!(value(&span, "http.request.body.size"), None, "there is no body");
    }
}

#[tokio::test]
async fn an_unmatched_request_has_no_route() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        assert!(exchange(address, &get_request("/nowhere/7")).await.starts_with("HTTP/1.1 404"));
        let span = telemetry.span().await;
        assert_eq!(span.name, "GET");
        assert_eq!(value(&span, "http.route"), None);
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
    }
}

#[tokio::test]
async fn only_5xx_are_errors_and_they_have_no_description() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        for (path, code) in [("/broken", "500"), ("/unavailable", "503")] {
            exchange(address, &get_request(path)).await;
            let span = telemetry.span().await;
            assert_eq!(span.status, Status::error(""));
            assert_eq!(
                (text(&span, "error.type"), text(&span, "http.response.status_code")),
                (code.into(), code.into())
            );
        }
        exchange(address, &get_request("/bad")).await;
        let span = telemetry.span().await;
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert_eq!(text(&span, "http.response.status_code"), "400");
    }
}

#[tokio::test]
async fn an_unknown_method_is_recorded_as_other_with_the_original() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        exchange(address, &request("BREW", "/users/7", "")).await;
        let span = telemetry.span().await;
        assert_eq!(span.name, "HTTP /users/{id}");
        assert_eq!(text(&span, "http.request.method"), "_OTHER");
        assert_eq!(text(&span, "http.request.method_original"), "BREW");
        // Methods are case-sensitive: RFC 9110 §9.1.
        exchange(address, &request("get", "/users/7", "")).await;
        assert_eq!(text(&telemetry.span().await, "http.request.method_original"), "get");
    }
}

/// A sampler that stores the attributes it receives, and drops every span.
#[derive(Clone, Debug)]
struct Recorder(Arc<Mutex<Vec<KeyValue>>>);

impl ShouldSample for Recorder {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        attributes: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        self.0.lock().unwrap().extend_from_slice(attributes);
        SamplingResult { decision: SamplingDecision::Drop, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}

#[tokio::test]
async fn samplers_see_the_request_attributes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let provider = SdkTracerProvider::builder().with_sampler(Recorder(Arc::clone(&seen))).build();
    let app = router(TraceLayer::new("i").tracer(provider.tracer("server")));
    let request = http::Request::get("/users/7").body(axum::body::Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let seen = seen.lock().unwrap();
    for key in ["http.request.method", "http.route", "url.path", "url.scheme", "network.protocol.version"] {
        assert!(seen.iter().any(|attribute| attribute.key.as_str() == key), "{key} in {seen:?}");
    }
    // An unsampled request still has a context, and its flags show the page that it is not sampled.
    let timing = response.headers()["server-timing"].to_str().unwrap();
    assert!(timing.contains("-02\""), "{timing}");
}

#[tokio::test]
async fn attributes_can_be_added() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let layer = telemetry
        .layer()
        .on_request(|request: &http::request::Parts, attributes: &mut Vec<KeyValue>| {
            attributes.push(KeyValue::new("app.length", i64::try_from(request.uri.path().len()).unwrap()));
        })
        .on_response(|response: &mut http::response::Parts, span: &opentelemetry::trace::SpanRef<'_>| {
            span.set_attribute(KeyValue::new("app.ok", response.status.is_success()));
        });
    let address = serve(router(layer)).await;
    exchange(address, &get_request("/users/7")).await;
    let span = telemetry.span().await;
    assert_eq!((text(&span, "app.length"), text(&span, "app.ok")), ("8".into(), "true".into()));
}

#[tokio::test]
async fn a_service_error_is_recorded_by_its_type() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let inner = tower::service_fn(|_: http::Request<String>| async {
        Err::<http::Response<String>, _>(std::io::Error::other("no database"))
    });
    let service = tower_layer::Layer::layer(&telemetry.layer(), inner);
    assert!(service.oneshot(http::Request::new(String::new())).await.is_err());
    let span = telemetry.span().await;
    assert_eq!((span.status.clone(), text(&span, "error.type")), (Status::error(""), "std::io::error::Error".into()));
    assert_eq!(value(&span, "http.response.status_code"), None);
    assert_eq!(telemetry.active(), 0);
}
