//! Tests of trace continuation and request filters.

use axum::{Router, routing::get};
use opentelemetry::{SpanId, trace::TracerProvider as _};
use opentelemetry_sdk::trace::SpanData;
use throughline_axum::{ExceptPaths, RemoteParent, TraceLayer};
use throughline_propagator::Propagator;

use crate::harness::{Telemetry, Way, exchange, get as get_request, request, serve};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn router(layer: TraceLayer) -> Router {
    Router::new().route("/", get(|| async {})).route("/livez", get(|| async {})).layer(layer)
}

async fn span_of(way: Way, configure: impl FnOnce(TraceLayer) -> TraceLayer, headers: &str) -> SpanData {
    let mut telemetry = Telemetry::new(way);
    let address = serve(router(configure(telemetry.layer()))).await;
    exchange(address, &request("GET", "/", &format!("traceparent: {PARENT}\r\n{headers}"))).await;
    telemetry.span().await
}

fn is_continued(span: &SpanData) -> bool {
    let is_child = span.parent_span_id.to_string() == PARENT[36..52];
    assert_eq!(is_child, span.span_context.trace_id().to_string() == PARENT[3..35]);
    if is_child {
        assert!(span.links.is_empty());
    } else {
        assert_eq!(span.parent_span_id, SpanId::INVALID, "a root");
        assert_eq!(span.links.len(), 1);
        assert_eq!(span.links.links[0].span_context.span_id().to_string(), &PARENT[36..52]);
    }
    is_child
}

#[tokio::test]
async fn always_continues_a_trace_and_never_creates_a_link() {
    for way in Way::BOTH {
        assert!(is_continued(&span_of(way, |layer| layer, "").await));
        assert!(is_continued(&span_of(way, |layer| layer.remote_parent(RemoteParent::Always), "").await));
        assert!(!is_continued(&span_of(way, |layer| layer.remote_parent(RemoteParent::Never), "").await));
    }
}

#[tokio::test]
async fn trusted_continues_only_trusted_requests() {
    for way in Way::BOTH {
        let trusted = |layer: TraceLayer| {
            layer.remote_parent(RemoteParent::Trusted).trust_parent(|request: &http::request::Parts| {
                request.headers.get("x-token").is_some_and(|it| it == "good")
            })
        };
        assert!(is_continued(&span_of(way, trusted, "x-token: good\r\n").await));
        assert!(!is_continued(&span_of(way, trusted, "x-token: forged\r\n").await));
        assert!(!is_continued(&span_of(way, trusted, "").await));
        // No request is trusted by default.
        assert!(!is_continued(&span_of(way, |layer| layer.remote_parent(RemoteParent::Trusted), "").await));
    }
}

#[tokio::test]
async fn the_policy_can_differ_by_request() {
    let by_host = |request: &http::request::Parts| match request.headers.contains_key("x-internal") {
        true => RemoteParent::Always,
        false => RemoteParent::Never,
    };
    assert!(is_continued(&span_of(Way::Tracer, |layer| layer.remote_parent(by_host), "x-internal: 1\r\n").await));
    assert!(!is_continued(&span_of(Way::Tracer, |layer| layer.remote_parent(by_host), "").await));
}

#[tokio::test]
async fn tracestate_is_kept_with_the_trace() {
    for way in Way::BOTH {
        let span = span_of(way, |layer| layer, "tracestate: a=1,b=2\r\ntracestate: c=3\r\n").await;
        assert_eq!(span.span_context.trace_state().header(), "a=1,b=2,c=3");
    }
}

#[tokio::test]
async fn excluded_paths_have_neither_span_nor_header() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer().filter(ExceptPaths::new(["/livez"])))).await;
        let response = exchange(address, &get_request("/livez")).await;
        assert!(response.starts_with("HTTP/1.1 200") && !response.contains("server-timing"), "{response}");
        exchange(address, &get_request("/")).await;
        assert_eq!(telemetry.span().await.name, "GET /");
        assert!(telemetry.is_quiet());
        let _ = telemetry.provider.tracer("unused");
    }
}

#[tokio::test]
async fn the_layers_own_propagator_is_used() {
    let names = |names: &'static str| move |layer: TraceLayer| layer.propagator(Propagator::from_names(names).unwrap());
    for way in Way::BOTH {
        assert!(is_continued(&span_of(way, names("tracecontext"), "").await));
        for other in ["baggage", "none"] {
            let span = span_of(way, names(other), "").await;
            assert_eq!((span.parent_span_id, span.links.len()), (SpanId::INVALID, 0), "{other}");
        }
    }
}

#[tokio::test]
async fn a_second_traceparent_counts_even_if_it_is_not_utf8() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let second = http::HeaderValue::from_bytes(b"\xff").unwrap();
    let request = http::Request::get("/").header("traceparent", PARENT).header("traceparent", second);
    let request = request.body(axum::body::Body::empty()).unwrap();
    tower::ServiceExt::oneshot(router(telemetry.layer()), request).await.unwrap();
    assert_eq!(telemetry.span().await.parent_span_id, SpanId::INVALID);
}
