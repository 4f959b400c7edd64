//! Handlers' own spans and log lines belong to the request.

use axum::{Router, body::Body, http::StatusCode, routing::get};
use opentelemetry::trace::{Status, TraceContextExt};
use throughline_axum::current_trace_id;
use tokio_stream::StreamExt;

use crate::harness::{Telemetry, Way, exchange, get as ask, serve, text};

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
        let answer = exchange(address, &ask("/")).await;
        let (child, server) = (telemetry.span().await, telemetry.span().await);
        assert_eq!((child.name.as_ref(), server.name.as_ref()), ("query", "GET /"), "{way:?}");
        assert_eq!(child.parent_span_id, server.span_context.span_id());
        assert_eq!(child.span_context.trace_id(), server.span_context.trace_id());
        assert!(answer.ends_with(&server.span_context.trace_id().to_string()));
        assert_eq!(child.events.events[0].name, "read", "log lines are events of the span around them");
    }
}

#[tokio::test]
async fn spans_made_while_the_body_is_sent_are_children() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let streamed = || async {
            let chunks = tokio_stream::iter(["a", "b"])
                .map(|chunk| tracing::info_span!("render").in_scope(|| Ok::<_, std::convert::Infallible>(chunk)));
            Body::from_stream(chunks)
        };
        let address = serve(Router::new().route("/", get(streamed)).layer(telemetry.layer())).await;
        exchange(address, &ask("/")).await;
        let (first, second, server) = (telemetry.span().await, telemetry.span().await, telemetry.span().await);
        for child in [first, second] {
            assert_eq!((child.name.as_ref(), child.parent_span_id), ("render", server.span_context.span_id()));
        }
    }
}

#[tokio::test]
async fn the_context_is_opentelemetrys_too() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let handler = || async {
            let context = opentelemetry::Context::current();
            context.span().set_attribute(opentelemetry::KeyValue::new("app.answer", 42));
        };
        let address = serve(Router::new().route("/", get(handler)).layer(telemetry.layer())).await;
        exchange(address, &ask("/")).await;
        assert_eq!(text(&telemetry.span().await, "app.answer"), "42");
    }
}

#[tokio::test]
async fn with_a_tracing_span_handlers_see_it_as_the_current_one() {
    let mut telemetry = Telemetry::new(Way::Tracing);
    let handler = || async {
        use tracing_opentelemetry::OpenTelemetrySpanExt;
        let span = tracing::Span::current();
        assert_eq!(span.metadata().unwrap().name(), "http.server");
        span.set_attribute("app.answer", 42);
        tracing::info!("a line outside of any other span");
    };
    let address = serve(Router::new().route("/", get(handler)).layer(telemetry.layer())).await;
    assert!(exchange(address, &ask("/")).await.starts_with("HTTP/1.1 200"));
    let span = telemetry.span().await;
    assert_eq!(text(&span, "app.answer"), "42");
    assert_eq!(span.events.events[0].name, "a line outside of any other span");
}

#[tokio::test]
async fn a_line_about_an_error_makes_no_failed_request_with_a_tracer() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let handler = || async {
        tracing::error!("somebody's input was bad");
        StatusCode::BAD_REQUEST
    };
    let address = serve(Router::new().route("/", get(handler)).layer(telemetry.layer())).await;
    exchange(address, &ask("/")).await;
    assert_eq!(telemetry.span().await.status, Status::Unset);
}

#[tokio::test]
async fn nor_with_a_tracing_span_where_the_processor_looks() {
    let mut telemetry = Telemetry::new(Way::Tracing);
    let router = Router::new()
        .route(
            "/line",
            get(|| async {
                tracing::error!("somebody's input was bad");
                StatusCode::BAD_REQUEST
            }),
        )
        // An event that is nothing but an error is an exception to tracing-opentelemetry, whatever its level.
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
        exchange(address, &ask(path)).await;
        let span = telemetry.span().await;
        assert_eq!(span.status, status, "{path}");
        assert_eq!(span.events.len(), usize::from(path != "/by_hand"), "the event stays");
    }
    exchange(address, &ask("/inner")).await;
    let (inner, server) = (telemetry.span().await, telemetry.span().await);
    assert_eq!((inner.status, server.status), (Status::error(""), Status::Unset), "others keep what they have");
}

#[tokio::test]
async fn without_anybody_who_makes_spans_the_clients_context_passes() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let handler = || async { opentelemetry::Context::current().span().span_context().span_id().to_string() };
    let layer = throughline_axum::TraceLayer::new("i").propagator(throughline_propagator::Propagator::new());
    let app = Router::new().route("/", get(handler)).layer(layer);
    let request = http::Request::get("/").header("traceparent", parent).body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(app, request).await.unwrap();
    let timing = response.headers()["server-timing"].to_str().unwrap().to_owned();
    assert!(timing.starts_with("throughline;desc="), "no span is claimed: {timing}");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, parent[36..52]);
}
