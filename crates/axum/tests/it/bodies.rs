//! Tests of the end of a span: the last byte of the response, or a disconnect.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    response::sse::{Event, Sse},
    routing::{get, post},
};
use opentelemetry::trace::Status;
use throughline_axum::TraceLayer;
use tokio::{
    io::AsyncReadExt,
    sync::mpsc::{self, UnboundedSender},
};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};

use crate::harness::{Telemetry, Way, exchange, get as get_request, read_until, request, send, serve, text, value};

type Chunk = Result<&'static str, std::io::Error>;

/// Returns a router whose `/stream` and `/events` send the items of the returned senders.
fn streams(layer: TraceLayer) -> (Router, UnboundedSender<Chunk>, UnboundedSender<&'static str>) {
    let (chunks, chunk_receiver) = mpsc::unbounded_channel::<Chunk>();
    let (events, event_receiver) = mpsc::unbounded_channel::<&'static str>();
    // Each route is requested once.
    let chunk_receiver = std::sync::Mutex::new(Some(chunk_receiver));
    let event_receiver = std::sync::Mutex::new(Some(event_receiver));
    let (chunk_receiver, event_receiver) = (std::sync::Arc::new(chunk_receiver), std::sync::Arc::new(event_receiver));
    let stream = move || {
        let receiver = chunk_receiver.lock().unwrap().take().unwrap();
        async move { Body::from_stream(UnboundedReceiverStream::new(receiver).map(|chunk| chunk.map(Bytes::from))) }
    };
    let sse = move || {
        let receiver = event_receiver.lock().unwrap().take().unwrap();
        let events =
            UnboundedReceiverStream::new(receiver).map(|text| Ok::<_, Infallible>(Event::default().data(text)));
        async move { Sse::new(events) }
    };
    let router = Router::new().route("/stream", get(stream)).route("/events", get(sse)).layer(layer);
    (router, chunks, events)
}

#[tokio::test]
async fn the_span_ends_with_the_last_byte() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let (router, chunks, _events) = streams(telemetry.layer());
        let mut stream = send(serve(router).await, &get_request("/stream")).await;
        chunks.send(Ok("first")).unwrap();
        read_until(&mut stream, "first\r\n").await;
        assert!(telemetry.is_quiet(), "the body has not ended");
        assert_eq!(telemetry.active(), 1);
        chunks.send(Ok(", last")).unwrap();
        drop(chunks);
        read_until(&mut stream, "0\r\n\r\n").await;
        let span = telemetry.span().await;
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert_eq!(text(&span, "http.response.body.size"), "11");
        let first_byte_ms: f64 = text(&span, "throughline.server.time_to_first_byte_ms").parse().unwrap();
        let length_ms = span.end_time.duration_since(span.start_time).unwrap().as_secs_f64() * 1_000.0;
        assert!(first_byte_ms <= length_ms, "{first_byte_ms} of {length_ms}");
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn a_disconnect_during_the_body_is_a_cancellation() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let (router, chunks, _events) = streams(telemetry.layer());
        let mut stream = send(serve(router).await, &get_request("/stream")).await;
        chunks.send(Ok("first")).unwrap();
        read_until(&mut stream, "first\r\n").await;
        drop(stream);
        // The server notices the disconnect when it reads or writes.
        let span = telemetry.span().await;
        assert_eq!(text(&span, "error.type"), "cancelled");
        assert!(matches!(span.status, Status::Error { .. }));
        assert_eq!(text(&span, "http.response.status_code"), "200");
        assert_eq!(text(&span, "http.response.body.size"), "5");
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn a_disconnect_before_the_response_is_a_cancellation() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let (started, mut start) = mpsc::unbounded_channel();
        let slow = move || {
            started.send(()).unwrap();
            std::future::pending::<()>()
        };
        let address = serve(Router::new().route("/slow", get(slow)).layer(telemetry.layer())).await;
        let stream = send(address, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        start.recv().await.unwrap();
        assert_eq!(telemetry.active(), 1);
        drop(stream);
        let span = telemetry.span().await;
        assert_eq!(text(&span, "error.type"), "cancelled");
        assert!(matches!(span.status, Status::Error { .. }));
        assert_eq!(value(&span, "http.response.status_code"), None);
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn server_sent_events_end_with_their_stream() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let (router, _chunks, events) = streams(telemetry.layer());
        let mut stream = send(serve(router).await, &get_request("/events")).await;
        events.send("one").unwrap();
        read_until(&mut stream, "data: one\n\n\r\n").await;
        assert!(telemetry.is_quiet());
        drop(events);
        read_until(&mut stream, "0\r\n\r\n").await;
        let span = telemetry.span().await;
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn a_disconnect_from_server_sent_events_is_not_an_error() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let (router, _chunks, events) = streams(telemetry.layer());
        let mut stream = send(serve(router).await, &get_request("/events")).await;
        events.send("one").unwrap();
        read_until(&mut stream, "data: one\n\n\r\n").await;
        drop(stream);
        let span = telemetry.span().await;
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn a_body_that_fails_is_an_error() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let (router, chunks, _events) = streams(telemetry.layer());
        let mut stream = send(serve(router).await, &get_request("/stream")).await;
        chunks.send(Ok("first")).unwrap();
        chunks.send(Err(std::io::Error::other("the disk is gone"))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        let span = telemetry.span().await;
        assert_eq!(text(&span, "error.type"), "axum_core::error::Error");
        assert_eq!(span.status, Status::error(""));
    }
}

#[tokio::test]
async fn a_head_request_is_complete_without_a_body() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let router = Router::new().route("/", get(|| async { "twelve bytes" })).layer(telemetry.layer());
        let response = exchange(serve(router).await, &request("HEAD", "/", "")).await;
        assert!(response.contains("content-length: 12") && response.ends_with("\r\n\r\n"), "{response}");
        let span = telemetry.span().await;
        assert_eq!((span.name.as_ref(), text(&span, "http.response.body.size")), ("HEAD /", "0".into()));
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
    }
}

#[tokio::test]
async fn the_size_of_a_request_is_recorded() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let router = Router::new().route("/", post(|body: String| async move { body })).layer(telemetry.layer());
    let address = serve(router).await;
    exchange(address, &(request("POST", "/", "content-length: 5\r\n") + "hello")).await;
    let span = telemetry.span().await;
    let sizes = (text(&span, "http.request.body.size"), text(&span, "http.response.body.size"));
    assert_eq!(sizes, ("5".into(), "5".into()));
    // The size of a chunked body is not known in advance.
    exchange(address, &(request("POST", "/", "transfer-encoding: chunked\r\n") + "2\r\nhi\r\n0\r\n\r\n")).await;
    let span = telemetry.span().await;
    assert_eq!(value(&span, "http.request.body.size"), None);
    assert_eq!(text(&span, "http.response.body.size"), "2");
}
