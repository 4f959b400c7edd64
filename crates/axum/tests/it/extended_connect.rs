//! Tests of WebSocket over HTTP/2 (RFC 8441): the span of a stream ends with the stream, and other streams of the
//! connection continue.

use axum::{
    Router,
    body::Body,
    extract::ws::WebSocketUpgrade,
    http::{Method, Request, StatusCode},
    routing::{any, get},
};
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::{
    client::conn::http2::{SendRequest, handshake},
    ext::Protocol,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry::trace::Status;
use throughline_axum::TraceLayer;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, protocol::Role},
};

use crate::{
    harness::{Telemetry, Way, serve, text, value},
    upgrade::echo,
};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

fn router(layer: TraceLayer) -> Router {
    let upgrade = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) };
    Router::new().route("/socket", any(upgrade)).route("/fine", get(|| async { "fine" })).layer(layer)
}

/// An HTTP/2 connection on which the server has announced extended CONNECT.
struct Client {
    sender: SendRequest<Body>,
    connection: JoinHandle<()>,
    base: String,
}

impl Client {
    async fn connect(router: Router) -> Self {
        let address = serve(router).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async { drop(connection.await) });
        let base = format!("http://{address}");
        // After a response, the settings of the server are known.
        assert_eq!(get_fine(&mut sender, &base).await, StatusCode::OK);
        Self { sender, connection, base }
    }

    async fn connect_to(&mut self, path: &str) -> hyper::Response<hyper::body::Incoming> {
        let request = Request::builder()
            .method(Method::CONNECT)
            .extension(Protocol::from_static("websocket"))
            .uri(format!("{}{path}", self.base))
            .header("sec-websocket-version", "13")
            .body(Body::empty())
            .unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    async fn open(&mut self) -> Socket {
        let mut response = self.connect_to("/socket").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().contains_key("server-timing"));
        let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await
    }
}

async fn get_fine(sender: &mut SendRequest<Body>, base: &str) -> StatusCode {
    let request = Request::get(format!("{base}/fine")).body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    status
}

async fn echo_text(socket: &mut Socket, text: &str) {
    socket.send(tungstenite::Message::text(text)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
}

#[tokio::test]
async fn the_span_of_an_http2_websocket_ends_with_the_stream() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut client = Client::connect(router(telemetry.layer().trace_upgrades())).await;
        assert_eq!(telemetry.span().await.name, "GET /fine");
        let mut socket = client.open().await;
        let long = "x".repeat(100_000);
        for text in ["hello", &long] {
            echo_text(&mut socket, text).await;
        }
        assert!(telemetry.is_quiet(), "{way:?}");
        assert_eq!(telemetry.active(), 1);
        // The connection serves other requests in the meantime.
        assert_eq!(get_fine(&mut client.sender, &client.base).await, StatusCode::OK);
        assert_eq!(telemetry.span().await.name, "GET /fine");
        socket.close(None).await.unwrap();
        let span = telemetry.span().await;
        assert_eq!((span.name.as_ref(), text(&span, "http.response.status_code")), ("CONNECT /socket", "200".into()));
        assert_eq!((text(&span, "http.request.method"), text(&span, "url.path")), ("CONNECT".into(), "/socket".into()));
        assert_eq!((text(&span, "url.scheme"), text(&span, "network.protocol.version")), ("http".into(), "2".into()));
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert!(text(&span, "http.response.body.size").parse::<u64>().unwrap() > 100_000);
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn the_span_ends_when_the_client_disconnects() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut client = Client::connect(router(telemetry.layer().trace_upgrades())).await;
        telemetry.span().await;
        let mut socket = client.open().await;
        echo_text(&mut socket, "hello").await;
        client.connection.abort();
        drop(socket);
        assert_eq!(text(&telemetry.span().await, "http.response.status_code"), "200");
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn the_stream_ends_for_the_client_when_the_handler_returns() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut client = Client::connect(router(telemetry.layer().trace_upgrades())).await;
        telemetry.span().await;
        let mut socket = client.open().await;
        socket.send(tungstenite::Message::text("go")).await.unwrap();
        assert_eq!(telemetry.span().await.name, "CONNECT /socket");
        assert!(!matches!(socket.next().await, Some(Ok(_))), "the stream is over");
        assert_eq!(telemetry.active(), 0);
        assert_eq!(get_fine(&mut client.sender, &client.base).await, StatusCode::OK, "the connection stays open");
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_traced_as_a_normal_request() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut client = Client::connect(router(telemetry.layer().trace_upgrades())).await;
        telemetry.span().await;
        let response = client.connect_to("/fine").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        let span = telemetry.span().await;
        assert_eq!((text(&span, "http.response.status_code"), span.status), ("405".into(), Status::Unset));
        assert_eq!(telemetry.active(), 0);
    }
}
