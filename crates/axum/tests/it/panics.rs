//! Tests of panics in handlers, bodies and services.

use axum::{Router, body::Body, routing::get};
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use throughline_axum::TraceLayer;
use tokio_stream::StreamExt;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::harness::{Telemetry, Way, exchange, get as get_request, read_until, send, serve, text, value};

fn router(layer: TraceLayer) -> Router {
    Router::new()
        .route("/fine", get(|| async { "fine" }))
        .route(
            "/now",
            get(|| async {
                if true {
                    panic!("out of {}", "cheese")
                }
            }),
        )
        .route(
            "/later",
            get(|| async {
                tokio::task::yield_now().await;
                if true {
                    panic!("static text")
                }
            }),
        )
        .route(
            "/body",
            get(|| async {
                let chunks = tokio_stream::iter([1, 2]).map(|number| {
                    assert!(number == 1, "the second chunk is bad");
                    Ok::<_, std::convert::Infallible>("chunk")
                });
                Body::from_stream(chunks)
            }),
        )
        .layer(layer)
}

fn exception(span: &SpanData) -> String {
    let [event] = &span.events.events[..] else { panic!("{:?}", span.events) };
    assert_eq!(event.name, "exception");
    let find = |key: &str| event.attributes.iter().find(|kv| kv.key.as_str() == key).unwrap().value.to_string();
    assert_eq!(find("exception.type"), "panic");
    find("exception.message")
}

#[tokio::test]
async fn a_caught_panic_returns_500_and_is_recorded() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer().catch_panics())).await;
        for (path, message) in [("/now", "out of cheese"), ("/later", "static text")] {
            let mut stream = send(address, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let response = read_until(&mut stream, "\r\n\r\n").await;
            assert!(response.starts_with("HTTP/1.1 500") && response.contains("server-timing"), "{response}");
            let span = telemetry.span().await;
            assert_eq!(exception(&span), message);
            assert_eq!((span.status.clone(), text(&span, "error.type")), (Status::error(""), "panic".into()));
            assert_eq!(text(&span, "http.response.status_code"), "500");
            assert_eq!(telemetry.active(), 0);
            // The connection stays open.
            use tokio::io::AsyncWriteExt as _;
            stream.write_all(get_request("/fine").as_bytes()).await.unwrap();
            assert!(read_until(&mut stream, "fine").await.starts_with("HTTP/1.1 200"));
            telemetry.span().await;
        }
    }
}

#[tokio::test]
async fn a_panic_in_a_body_is_not_a_cancellation() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        exchange(address, &get_request("/body")).await;
        let span = telemetry.span().await;
        assert_eq!(exception(&span), "the second chunk is bad");
        assert_eq!((span.status.clone(), text(&span, "error.type")), (Status::error(""), "panic".into()));
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn a_panic_before_the_future_is_returned_is_caught() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let inner =
        tower::service_fn(|_: http::Request<String>| -> std::future::Ready<Result<http::Response<String>, ()>> {
            panic!("at once")
        });
    let service = tower_layer::Layer::layer(&telemetry.layer().catch_panics(), inner);
    let response = service.oneshot(http::Request::new(String::new())).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(exception(&telemetry.span().await), "at once");
}

#[tokio::test]
async fn by_default_panics_are_recorded_and_resumed() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let app = router(telemetry.layer());
    let request = http::Request::get("/now").body(Body::empty()).unwrap();
    assert!(tokio::spawn(app.oneshot(request)).await.unwrap_err().is_panic());
    let span = telemetry.span().await;
    assert_eq!((exception(&span), text(&span, "error.type")), ("out of cheese".into(), "panic".into()));
    assert_eq!(value(&span, "http.response.status_code"), None);
    assert_eq!(telemetry.active(), 0);
}

#[tokio::test]
async fn an_application_can_record_a_panic_that_it_catches() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let inner = Router::new().route(
            "/",
            get(|| async {
                if true {
                    panic!("caught inside")
                }
            }),
        );
        let response = |payload: Box<dyn std::any::Any + Send>| {
            throughline_axum::record_panic(&*payload);
            http::Response::builder().status(500).body(Body::from("custom body")).unwrap()
        };
        let app = inner.layer(CatchPanicLayer::custom(response)).layer(telemetry.layer());
        assert!(exchange(serve(app).await, &get_request("/")).await.ends_with("custom body"));
        let span = telemetry.span().await;
        assert_eq!((exception(&span), text(&span, "error.type")), ("caught inside".into(), "500".into()));
    }
}
