//! Tests of upgraded connections, whose span ends with the stream.

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::get,
};
use futures_util::{SinkExt, StreamExt};
use opentelemetry::trace::Status;
use throughline_axum::TraceLayer;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_tungstenite::{WebSocketStream, tungstenite};

use crate::harness::{Telemetry, Way, serve, text, value};

/// Echoes messages until it receives `go`.
pub(crate) async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Text(text) if text.as_str() == "go" => return,
            Message::Text(text) => socket.send(Message::Text(text)).await.unwrap(),
            _ => {}
        }
    }
}

fn router(layer: TraceLayer) -> Router {
    let upgrade = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) };
    Router::new().route("/socket", get(upgrade)).layer(layer)
}

async fn connect(router: Router) -> WebSocketStream<TcpStream> {
    let address = serve(router).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(format!("ws://{address}/socket"), stream).await.unwrap();
    assert!(response.headers().contains_key("server-timing"));
    socket
}

async fn echo_text(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(tungstenite::Message::text(text)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
}

#[tokio::test]
async fn the_span_of_a_websocket_ends_with_the_stream() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut socket = connect(router(telemetry.layer().trace_upgrades())).await;
        let long = "x".repeat(100_000);
        for text in ["hello", &long] {
            echo_text(&mut socket, text).await;
        }
        assert!(telemetry.is_quiet(), "{way:?}");
        assert_eq!(telemetry.active(), 1);
        socket.close(None).await.unwrap();
        let span = telemetry.span().await;
        assert_eq!((span.name.as_ref(), text(&span, "http.response.status_code")), ("GET /socket", "101".into()));
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert!(text(&span, "http.response.body.size").parse::<u64>().unwrap() > 100_000);
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn the_span_ends_when_the_client_disconnects() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut socket = connect(router(telemetry.layer().trace_upgrades())).await;
        echo_text(&mut socket, "hello").await;
        drop(socket);
        assert_eq!(text(&telemetry.span().await, "http.response.status_code"), "101");
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn the_connection_closes_for_the_client_when_the_handler_returns() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut socket = connect(router(telemetry.layer().trace_upgrades())).await;
        socket.send(tungstenite::Message::text("go")).await.unwrap();
        telemetry.span().await;
        let mut stream = socket.into_inner();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "the connection is closed");
        assert_eq!(telemetry.active(), 0);
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_traced_as_a_normal_request() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let router = Router::new().route("/socket", get(|| async { "no" })).layer(telemetry.layer().trace_upgrades());
    let address = serve(router).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let refused = tokio_tungstenite::client_async(format!("ws://{address}/socket"), stream).await;
    assert!(matches!(refused, Err(tungstenite::Error::Http(response)) if response.status() == 200));
    assert_eq!(text(&telemetry.span().await, "http.response.body.size"), "2");
}

#[tokio::test]
async fn by_default_the_span_ends_with_the_response_head() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let mut socket = connect(router(telemetry.layer())).await;
        let span = telemetry.span().await;
        assert_eq!(text(&span, "http.response.status_code"), "101");
        assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None));
        assert_eq!(telemetry.active(), 0);
        echo_text(&mut socket, "hello").await;
        socket.close(None).await.unwrap();
        assert!(telemetry.is_quiet());
    }
}
