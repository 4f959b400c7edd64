//! The application, the requests, and the resulting telemetry.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ws::{WebSocket, WebSocketUpgrade},
    http::StatusCode,
    response::sse::{Event, Sse},
    routing::{any, get},
};
use futures_util::StreamExt;
use opentelemetry_sdk::trace::SpanData;
use throughline_axum::RemoteParent;
use throughline_bench_server::subject::{Extent, Subject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::probe::{Probe, labels, sum};

pub(crate) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The telemetry and responses of all requests.
pub(crate) struct Seen {
    pub(crate) ok: SpanData,
    pub(crate) not_found: SpanData,
    pub(crate) bad_request: SpanData,
    pub(crate) broken: SpanData,
    pub(crate) unknown_method: SpanData,
    pub(crate) forwarded: SpanData,
    pub(crate) secrets: SpanData,
    pub(crate) cancelled: SpanData,
    pub(crate) streamed_to_the_end: bool,
    pub(crate) events_to_the_end: bool,
    pub(crate) upgraded_to_the_end: bool,
    pub(crate) panic: Option<SpanData>,
    pub(crate) panic_response: &'static str,
    pub(crate) public: Option<SpanData>,
    pub(crate) has_server_timing: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) has_body_sizes: bool,
    pub(crate) active: Option<i64>,
}

/// A stream that the test feeds.
#[derive(Clone)]
struct Fed(Arc<Mutex<mpsc::UnboundedReceiver<&'static str>>>);

impl Fed {
    fn new() -> (mpsc::UnboundedSender<&'static str>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(Arc::new(Mutex::new(receiver))))
    }

    /// Takes the stream of the chunks that the test sends.
    async fn take(&self) -> UnboundedReceiverStream<&'static str> {
        let (_, nothing) = mpsc::unbounded_channel();
        UnboundedReceiverStream::new(std::mem::replace(&mut *self.0.lock().await, nothing))
    }
}

fn app(chunks: Fed, events: Fed, started: mpsc::UnboundedSender<()>) -> Router {
    let stream = async move || {
        Body::from_stream(chunks.take().await.map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes()))))
    };
    let sse = async move || Sse::new(events.take().await.map(|text| Ok::<_, Infallible>(Event::default().data(text))));
    let slow = move || {
        started.send(()).unwrap();
        std::future::pending::<()>()
    };
    let echo = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    };
    Router::new()
        .route("/users/{id}", any(|| async { "user" }))
        .route("/bad", get(|| async { StatusCode::BAD_REQUEST }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/slow", get(slow))
        .route("/stream", get(stream))
        .route("/events", get(sse))
        .route("/socket", get(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: app.example:8080\r\nconnection: close\r\n{headers}\r\n")
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut response = Vec::new();
    let _ = send(address, request).await.read_to_end(&mut response).await;
    String::from_utf8(response).unwrap()
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.unwrap());
    }
}

/// Returns whether the span lasts as long as the response: it has not ended when the client has received the first part.
async fn lasts_until_the_end(
    probe: &mut Probe,
    address: SocketAddr,
    path: &str,
    feed: mpsc::UnboundedSender<&'static str>,
) -> bool {
    feed.send("first").unwrap();
    let mut stream = send(address, &request("GET", path, "")).await;
    read_until(&mut stream, "first").await;
    let early = probe.try_span();
    drop(feed);
    read_until(&mut stream, "0\r\n\r\n").await;
    if early.is_none() {
        probe.span().await;
    }
    early.is_none()
}

/// Sends every request through `subject`.
pub(crate) async fn drive(probe: &mut Probe, subject: Subject) -> Seen {
    let (feed, chunks) = Fed::new();
    let (feed_events, events) = Fed::new();
    let (started, mut starts) = mpsc::unbounded_channel();
    let router = app(chunks, events, started);
    let address = serve(subject.around(router.clone(), &probe.provider, Extent::Full)).await;

    let response = exchange(address, &request("GET", "/users/7", "")).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let ok = probe.span().await;
    let mut send_and_wait = async |method: &str, path: &str, headers: &str| {
        exchange(address, &request(method, path, headers)).await;
        probe.span().await
    };
    let not_found = send_and_wait("GET", "/nowhere", "").await;
    let bad_request = send_and_wait("GET", "/bad", "").await;
    let broken = send_and_wait("GET", "/broken", "").await;
    let unknown_method = send_and_wait("BREW", "/users/7", "").await;
    let forwarded =
        send_and_wait("GET", "/users/7", "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\n").await;
    let credentials = "cookie: s=cookie-secret\r\nauthorization: Bearer authorization-secret\r\n";
    let secrets = send_and_wait("GET", "/users/7?sig=query-secret", credentials).await;

    let stream = send(address, &request("GET", "/slow", "")).await;
    starts.recv().await.unwrap();
    drop(stream);
    let cancelled = probe.span().await;

    let streamed_to_the_end = lasts_until_the_end(probe, address, "/stream", feed).await;
    let events_to_the_end = lasts_until_the_end(probe, address, "/events", feed_events).await;

    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/socket"), stream).await.unwrap();
    let early = probe.try_span();
    socket.close(None).await.unwrap();
    if early.is_none() {
        probe.span().await;
    }

    let response = exchange(address, &request("GET", "/panic", "")).await;
    let panic_response = if response.starts_with("HTTP/1.1 500") { "500" } else { "connection closed" };
    let panic = Some(probe.span().await);

    // A layer without such a policy continues the client's trace.
    let public = if subject.is_ours() {
        let layer = subject.ours(&probe.provider, Extent::Full).remote_parent(RemoteParent::Trusted);
        let address = serve(router.layer(layer)).await;
        exchange(address, &request("GET", "/users/7", &format!("traceparent: {PARENT}\r\n"))).await;
        Some(probe.span().await)
    } else {
        None
    };
    let response = exchange(address, &request("GET", "/users/7", "")).await;
    probe.span().await;

    let mut seen = Seen {
        ok,
        not_found,
        bad_request,
        broken,
        unknown_method,
        forwarded,
        secrets,
        cancelled,
        streamed_to_the_end,
        events_to_the_end,
        upgraded_to_the_end: early.is_none(),
        panic,
        panic_response,
        public,
        has_server_timing: response.to_lowercase().contains("server-timing"),
        labels: Vec::new(),
        has_body_sizes: false,
        active: None,
    };
    probe.metrics(scope(subject), |metric| match metric.name() {
        "http.server.request.duration" => seen.labels.extend(labels(metric)),
        "http.server.active_requests" => seen.active = Some(sum(metric)),
        "http.server.response.body.size" => seen.has_body_sizes = true,
        _ => {}
    });
    seen
}

/// Returns the name of the scope of the layer's metrics.
fn scope(subject: Subject) -> &'static str {
    match subject {
        Subject::Bare => "none",
        Subject::Ours | Subject::OursByTracing => "throughline-axum",
        Subject::AxumTracingOpentelemetry => "axum-tracing-opentelemetry",
        Subject::TowerOtel => "tower-otel",
        Subject::AxumOtel => "axum-otel",
        Subject::InstrumentationTower => "opentelemetry-instrumentation-tower",
        Subject::TowerHttpOpentelemetry => "tower-http-opentelemetry",
    }
}
