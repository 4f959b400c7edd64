//! Tests of the traced client with real servers on this machine, and spans from the real SDK.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode},
    response::Redirect,
    routing::{any, get},
};
use http_body_util::StreamBody;
use opentelemetry::{
    Context, KeyValue, Value,
    baggage::BaggageExt,
    trace::{SpanId, SpanKind, Status, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use reqwest::{Client, Method};
use throughline_context::TraceParent;
use throughline_propagator::Propagator;
use throughline_reqwest::RequestBuilderExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::ReceiverStream;
use tracing::{Instrument, instrument::WithSubscriber};
use tracing_subscriber::{Registry, layer::SubscriberExt};

/// Runs `work` with its own subscriber. Returns its result and the ended spans.
async fn traced<T>(work: impl AsyncFnOnce(InMemorySpanExporter) -> T) -> (T, Vec<SpanData>) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber = Registry::default().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let result = work(exporter.clone()).with_subscriber(subscriber).await;
    (result, exporter.get_finished_spans().unwrap())
}

fn client() -> Client {
    opentelemetry::global::set_text_map_propagator(Propagator::new());
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

/// Starts a server that returns the received headers in the response body.
async fn server() -> SocketAddr {
    let echo = |headers: HeaderMap| async move {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
        lines.collect::<String>()
    };
    let router = Router::new()
        .route("/echo", any(echo))
        .route("/missing", get(|| async { (StatusCode::NOT_FOUND, "no") }))
        .route("/broken", get(|| async { (StatusCode::BAD_GATEWAY, "no") }))
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/moved", get(|| async { Redirect::temporary("/echo") }))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/never", get(std::future::pending::<()>));
    serve(router).await
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Starts a server that responds to one request with these bytes and closes the connection.
async fn respond_with(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await.unwrap();
        socket.write_all(bytes).await.unwrap();
    });
    address
}

fn attribute<'s>(span: &'s SpanData, key: &str) -> Option<&'s Value> {
    let mut found = span.attributes.iter().filter(|attribute: &&KeyValue| attribute.key.as_str() == key);
    let value = found.next().map(|attribute| &attribute.value);
    assert!(found.next().is_none(), "duplicate {key}");
    value
}

fn text(span: &SpanData, key: &str) -> String {
    attribute(span, key).map(ToString::to_string).unwrap_or_default()
}

fn only(spans: &[SpanData]) -> &SpanData {
    let [span] = spans else { panic!("{} spans: {spans:?}", spans.len()) };
    span
}

fn sent(echo: &str, name: &str) -> String {
    let values = echo.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.collect::<Vec<_>>().join("|")
}

#[tokio::test]
async fn the_span_has_the_attributes_of_the_conventions() {
    let server = server().await;
    let (echo, spans) = traced(async |_| {
        let url = format!("http://me:pw@{server}/echo?sig=secret&page=2#top");
        client().get(url).traced().url_template("/echo").send().await.unwrap().text().await.unwrap()
    })
    .await;
    let span = only(&spans);
    assert_eq!((&*span.name, &span.span_kind, &span.status), ("GET /echo", &SpanKind::Client, &Status::Unset));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &server.port().to_string()),
        ("network.protocol.version", "1.1"),
        ("server.address", "127.0.0.1"),
        ("server.port", &server.port().to_string()),
        // reqwest moves the user name and the password to a header.
        ("url.full", &format!("http://{server}/echo?sig=REDACTED&page=2")),
        ("url.template", "/echo"),
    ] {
        assert_eq!(text(span, key), value, "{key}");
    }
    for key in ["error.type", "http.request.resend_count", "http.request.method_original"] {
        assert_eq!(attribute(span, key), None, "{key}");
    }
    // The server received the id of this span, and the random flag, because the trace started here.
    let received = TraceParent::parse(sent(&echo, "traceparent").as_bytes()).unwrap();
    assert_eq!(received.trace_id.to_string(), span.span_context.trace_id().to_string());
    assert_eq!(received.parent_id.to_string(), span.span_context.span_id().to_string());
    assert!(received.flags.is_sampled() && received.flags.is_random());
    assert_eq!((span.parent_span_id, sent(&echo, "tracestate")), (SpanId::INVALID, String::new()));
}

#[tokio::test]
async fn the_span_is_a_child_of_the_current_one_and_baggage_is_sent() {
    let server = server().await;
    let (echo, spans) = traced(async |_| {
        let _baggage = Context::current_with_baggage([KeyValue::new("user", "é")]).attach();
        let outer = tracing::info_span!("outer");
        async { client().get(format!("http://{server}/echo")).traced().send().await.unwrap().text().await.unwrap() }
            .instrument(outer)
            .await
    })
    .await;
    let [inner, outer] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*inner.name, inner.parent_span_id), ("GET", outer.span_context.span_id()));
    assert_eq!(sent(&echo, "baggage"), "user=%C3%A9");
}

#[tokio::test]
async fn an_unknown_method_is_recorded_as_other_with_the_original() {
    let server = server().await;
    let (_, spans) = traced(async |_| {
        let method = Method::from_bytes(b"BREW").unwrap();
        client().request(method, format!("http://{server}/echo")).traced().send().await.unwrap().text().await.unwrap()
    })
    .await;
    let span = only(&spans);
    assert_eq!(span.name, "HTTP");
    assert_eq!(text(span, "http.request.method"), "_OTHER");
    assert_eq!(text(span, "http.request.method_original"), "BREW");
}

#[tokio::test]
async fn statuses_of_400_and_above_are_errors_of_the_span_only() {
    let server = server().await;
    for (path, status) in [("missing", "404"), ("broken", "502")] {
        let (response, spans) =
            traced(async |_| client().get(format!("http://{server}/{path}")).traced().send().await.unwrap().status())
                .await;
        let span = only(&spans);
        assert_eq!(response.as_str(), status);
        assert_eq!((text(span, "http.response.status_code"), text(span, "error.type")), (status.into(), status.into()));
        assert_eq!(span.status, Status::error(""));
    }
}

/// Sends a request that gets no response. Returns the error type and the status of its span.
async fn failure(client: Client, url: String) -> (String, Status) {
    let (failed, spans) = traced(async |_| client.get(url).traced().send().await.is_err()).await;
    assert!(failed);
    let span = only(&spans);
    assert_eq!(attribute(span, "http.response.status_code"), None);
    (text(span, "error.type"), span.status.clone())
}

#[tokio::test]
async fn a_request_without_a_response_has_an_error_type() {
    let server = server().await;
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let (kind, status) = failure(client(), format!("http://me:secret@{closed}/?sig=secret")).await;
    assert_eq!(kind, "connect");
    let Status::Error { description } = status else { panic!("{status:?}") };
    assert!(!description.is_empty() && !description.contains("secret"), "{description}");

    let short_timeout = Client::builder().no_proxy().timeout(Duration::from_millis(50)).build().unwrap();
    assert_eq!(failure(short_timeout, format!("http://{server}/never")).await.0, "timeout");
    assert_eq!(failure(client(), format!("http://{server}/round")).await.0, "redirect");
    let closing = respond_with(b"").await;
    assert_eq!(failure(client(), format!("http://{closing}/")).await.0, "request");
}

#[tokio::test]
async fn a_request_that_cannot_be_built_has_no_span() {
    let (failed, spans) = traced(async |_| client().get("no address").traced().send().await.is_err()).await;
    assert!(failed && spans.is_empty());
}

#[tokio::test]
async fn the_span_ends_with_the_last_byte_of_the_body() {
    let (more, chunks) = mpsc::channel(1);
    let chunks = Arc::new(Mutex::new(Some(chunks)));
    let stream = move || {
        let chunks = chunks.lock().unwrap().take().unwrap();
        std::future::ready(Body::new(StreamBody::new(ReceiverStream::new(chunks))))
    };
    let server = serve(Router::new().route("/", get(stream))).await;
    let frame = |text: &'static str| Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from(text)));
    let ((), spans) = traced(async |exporter| {
        let mut response = client().get(format!("http://{server}/")).traced().send().await.unwrap();
        for text in ["one", "two"] {
            more.send(frame(text)).await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), text);
            assert!(exporter.get_finished_spans().unwrap().is_empty(), "ended too early");
        }
        drop(more);
        assert!(response.chunk().await.unwrap().is_none());
        assert_eq!(exporter.get_finished_spans().unwrap().len(), 1, "still open");
        drop(response);
    })
    .await;
    assert_eq!(only(&spans).status, Status::Unset);
}

#[tokio::test]
async fn the_span_ends_when_the_response_is_dropped() {
    let server = server().await;
    let ((), spans) = traced(async |exporter| {
        let response = client().get(format!("http://{server}/echo")).traced().send().await.unwrap();
        assert!(exporter.get_finished_spans().unwrap().is_empty());
        drop(response);
    })
    .await;
    assert_eq!(only(&spans).status, Status::Unset);
}

#[tokio::test]
async fn the_span_of_an_empty_response_ends_with_the_head() {
    let server = server().await;
    traced(async |exporter| {
        let response = client().get(format!("http://{server}/empty")).traced().send().await.unwrap();
        assert_eq!(exporter.get_finished_spans().unwrap().len(), 1);
        drop(response);
    })
    .await;
}

#[tokio::test]
async fn an_incomplete_body_is_recorded_as_one_error() {
    for (head, kind) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"[..], "body"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 10\r\n\r\nabc", "500"),
    ] {
        let server = respond_with(head).await;
        let (failed, spans) = traced(async |_| {
            let response = client().get(format!("http://{server}/")).traced().send().await.unwrap();
            response.text().await.is_err()
        })
        .await;
        assert!(failed);
        let span = only(&spans);
        assert_eq!(text(span, "error.type"), kind);
        assert!(matches!(span.status, Status::Error { .. }));
    }
}

#[tokio::test]
async fn a_dropped_request_ends_without_an_error() {
    let (arrived, arrives) = oneshot::channel();
    let arrived = Arc::new(Mutex::new(Some(arrived)));
    let never = move || {
        arrived.lock().unwrap().take().unwrap().send(()).unwrap();
        std::future::pending::<()>()
    };
    let server = serve(Router::new().route("/", get(never))).await;
    let ((), spans) = traced(async |exporter| {
        tokio::select! {
            response = client().get(format!("http://{server}/")).traced().send() => panic!("{response:?}"),
            arrival = arrives => arrival.unwrap(),
        }
        assert_eq!(exporter.get_finished_spans().unwrap().len(), 1);
    })
    .await;
    let span = only(&spans);
    assert_eq!((&span.status, attribute(span, "error.type")), (&Status::Unset, None));
}

#[tokio::test]
async fn each_attempt_is_a_span_with_its_count() {
    let server = server().await;
    let (parents, spans) = traced(async |_| {
        let request = client().post(format!("http://{server}/echo")).body("again").traced().url_template("/echo");
        let mut parents = Vec::new();
        for attempt in 0..3 {
            let echo = request.try_clone().unwrap().resend_count(attempt).send().await.unwrap().text().await.unwrap();
            parents.push(sent(&echo, "traceparent"));
        }
        parents
    })
    .await;
    let counts: Vec<_> = spans.iter().map(|span| text(span, "http.request.resend_count")).collect();
    assert_eq!(counts, ["", "1", "2"]);
    for (span, parent) in spans.iter().zip(parents) {
        assert_eq!(span.name, "POST /echo");
        assert_eq!(parent[36..52], span.span_context.span_id().to_string());
    }
}

#[tokio::test]
async fn the_response_is_unchanged() {
    let server = server().await;
    let url = format!("http://{server}/moved");
    let (response, spans) = traced(async |_| client().get(&url).traced().send().await.unwrap()).await;
    assert!(spans.is_empty());
    // The URL, the peer address and the length are not in the parts that the span wraps.
    assert_eq!(response.url().as_str(), format!("http://{server}/echo"));
    assert_eq!(response.remote_addr(), Some(server));
    let length = response.content_length().unwrap();
    assert_eq!(response.bytes().await.unwrap().len() as u64, length);
}

async fn echo(request: impl AsyncFnOnce(reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response>) -> String {
    let server = server().await;
    request(client().get(format!("http://{server}/echo"))).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn no_unwanted_headers_are_sent() {
    let (kept, spans) = traced(async |_| {
        echo(async |request| {
            let _baggage = Context::current_with_baggage([KeyValue::new("a", "1")]).attach();
            request.traced().without_propagation().send().await
        })
        .await
    })
    .await;
    assert_eq!((sent(&kept, "traceparent"), sent(&kept, "baggage")), (String::new(), String::new()));
    assert_eq!(spans.len(), 1);

    // Headers that were already present belong to another span.
    let (replaced, spans) = traced(async |_| {
        let old = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        echo(async |request| request.header("traceparent", old).header("tracestate", "a=1").traced().send().await).await
    })
    .await;
    assert_eq!(sent(&replaced, "traceparent")[36..52], spans[0].span_context.span_id().to_string());
    assert_eq!(sent(&replaced, "tracestate"), "");
}

/// Polls a future inside an OpenTelemetry context.
async fn within<T>(context: Context, work: impl Future<Output = T>) -> T {
    opentelemetry::context::FutureExt::with_context(work, context).await
}

#[tokio::test]
async fn without_a_subscriber_the_context_is_sent_on() {
    use opentelemetry::{
        propagation::TextMapPropagator,
        trace::{SpanContext, TraceContextExt},
    };
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let carrier = std::collections::HashMap::from([("traceparent".to_owned(), parent.to_owned())]);
    let context = Propagator::new().extract(&carrier);
    assert_ne!(context.span().span_context(), &SpanContext::empty_context());
    let headers = within(context, echo(async |request| request.traced().send().await)).await;
    assert_eq!(sent(&headers, "traceparent"), parent);
}

#[tokio::test]
async fn the_requests_own_propagator_replaces_the_global_one() {
    let none = Propagator::from_names("none").unwrap();
    let (headers, _) =
        traced(async |_| echo(async |request| request.traced().propagator(none).send().await).await).await;
    assert_eq!(sent(&headers, "traceparent"), "");
    let b3 = Propagator::from_names("b3").unwrap();
    let (headers, spans) =
        traced(async |_| echo(async |request| request.traced().propagator(b3).send().await).await).await;
    let context = &spans[0].span_context;
    assert_eq!(sent(&headers, "b3"), format!("{}-{}-1", context.trace_id(), context.span_id()));
    assert_eq!(sent(&headers, "traceparent"), "");
}
