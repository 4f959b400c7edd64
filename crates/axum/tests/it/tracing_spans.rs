//! Tests of the spans and log lines of handlers.

use axum::{Router, body::Body, http::StatusCode, routing::get};
use opentelemetry::trace::{Status, TraceContextExt};
use throughline_axum::current_trace_id;
use tokio_stream::StreamExt;

use crate::harness::{Telemetry, Way, exchange, get as get_request, serve, text};

#[tracing::instrument]
async fn query() -> String {
    tokio::task::yield_now().await;
    tracing::info!(rows = 3, "read");
    current_trace_id().unwrap()
}

#[tokio::test]
async fn spans_of_handlers_are_children() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(Router::new().route("/", get(query)).layer(telemetry.layer())).await;
        let response = exchange(address, &get_request("/")).await;
        let (child, server) = (telemetry.span().await, telemetry.span().await);
        assert_eq!((child.name.as_ref(), server.name.as_ref()), ("query", "GET /"), "{way:?}");
        assert_eq!(child.parent_span_id, server.span_context.span_id());
        assert_eq!(child.span_context.trace_id(), server.span_context.trace_id());
        assert!(response.ends_with(&server.span_context.trace_id().to_string()));
        assert_eq!(child.events.events[0].name, "read", "log lines are events of the span around them");
    }
}

#[tokio::test]
async fn spans_created_while_the_body_is_sent_are_children() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let streamed = || async {
            let chunks = tokio_stream::iter(["a", "b"])
                .map(|chunk| tracing::info_span!("render").in_scope(|| Ok::<_, std::convert::Infallible>(chunk)));
            Body::from_stream(chunks)
        };
        let address = serve(Router::new().route("/", get(streamed)).layer(telemetry.layer())).await;
        exchange(address, &get_request("/")).await;
        let (first, second, server) = (telemetry.span().await, telemetry.span().await, telemetry.span().await);
        for child in [first, second] {
            assert_eq!((child.name.as_ref(), child.parent_span_id), ("render", server.span_context.span_id()));
        }
    }
}

#[tokio::test]
async fn the_span_is_in_the_opentelemetry_context() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let handler = || async {
            let context = opentelemetry::Context::current();
            context.span().set_attribute(opentelemetry::KeyValue::new("app.answer", 42));
        };
        let address = serve(Router::new().route("/", get(handler)).layer(telemetry.layer())).await;
        exchange(address, &get_request("/")).await;
        assert_eq!(text(&telemetry.span().await, "app.answer"), "42");
    }
}

#[tokio::test]
async fn the_tracing_span_is_the_current_span_in_handlers() {
    let mut telemetry = Telemetry::new(Way::Tracing);
    let handler = || async {
        use tracing_opentelemetry::OpenTelemetrySpanExt;
        let span = tracing::Span::current();
        assert_eq!(span.metadata().unwrap().name(), "http.server");
        span.set_attribute("app.answer", 42);
        tracing::info!("a line outside of any other span");
    };
    let address = serve(Router::new().route("/", get(handler)).layer(telemetry.layer())).await;
    assert!(exchange(address, &get_request("/")).await.starts_with("HTTP/1.1 200"));
    let span = telemetry.span().await;
    assert_eq!(text(&span, "app.answer"), "42");
    assert_eq!(span.events.events[0].name, "a line outside of any other span");
}

#[tokio::test]
async fn an_error_event_does_not_fail_the_request_with_a_tracer() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let handler = || async {
        tracing::error!("invalid input");
        StatusCode::BAD_REQUEST
    };
    let address = serve(Router::new().route("/", get(handler)).layer(telemetry.layer())).await;
    exchange(address, &get_request("/")).await;
    assert_eq!(telemetry.span().await.status, Status::Unset);
}

#[tokio::test]
async fn an_error_event_does_not_fail_the_request_with_server_status() {
    let mut telemetry = Telemetry::new(Way::Tracing);
    let router = Router::new()
        .route(
            "/line",
            get(|| async {
                tracing::error!("invalid input");
                StatusCode::BAD_REQUEST
            }),
        )
        // tracing-opentelemetry records an event with an `error` field as an exception, regardless of its level.
        .route("/field", get(|| async { tracing::warn!(error = "no cheese") }))
        .route("/inner", get(|| async { tracing::info_span!("inner").in_scope(|| tracing::error!("no cheese")) }))
        .route(
            "/failed",
            get(|| async {
                tracing::error!("no cheese");
                StatusCode::INTERNAL_SERVER_ERROR
            }),
        )
        .route(
            "/by_hand",
            get(|| async {
                opentelemetry::Context::current().span().set_status(Status::error("the quota is used up"));
            }),
        )
        .layer(telemetry.layer());
    let address = serve(router).await;
    for (path, status) in [
        ("/line", Status::Unset),
        ("/field", Status::Unset),
        ("/failed", Status::error("")),
        ("/by_hand", Status::error("the quota is used up")),
    ] {
        exchange(address, &get_request(path)).await;
        let span = telemetry.span().await;
        assert_eq!(span.status, status, "{path}");
        assert_eq!(span.events.len(), usize::from(path != "/by_hand"), "the event is kept");
    }
    exchange(address, &get_request("/inner")).await;
    let (inner, server) = (telemetry.span().await, telemetry.span().await);
    assert_eq!((inner.status, server.status), (Status::error(""), Status::Unset), "other spans keep their status");
}

#[tokio::test]
async fn without_a_subscriber_the_clients_context_passes_through() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let handler = || async { opentelemetry::Context::current().span().span_context().span_id().to_string() };
    let layer = throughline_axum::TraceLayer::new("i").propagator(throughline_propagator::Propagator::new());
    let app = Router::new().route("/", get(handler)).layer(layer);
    let request = http::Request::get("/").header("traceparent", parent).body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(app, request).await.unwrap();
    let timing = response.headers()["server-timing"].to_str().unwrap().to_owned();
    assert!(timing.starts_with("throughline;desc="), "the header has no span: {timing}");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, parent[36..52]);
}
