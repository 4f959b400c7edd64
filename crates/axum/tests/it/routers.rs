//! Tests of nested and merged routers, HTTP/2, and services without a router.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, body::Body, routing::get};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry::trace::Status;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;

use crate::harness::{Telemetry, Way, exchange, get as get_request, serve, text, value};

fn inner() -> Router {
    Router::new().route("/items/{item}", get(|| async { "item" }))
}

async fn names(router: Router, telemetry: &mut Telemetry, paths: &[&str]) -> Vec<String> {
    let address = serve(router).await;
    let mut names = Vec::new();
    for path in paths {
        exchange(address, &get_request(path)).await;
        names.push(telemetry.span().await.name.into_owned());
        assert!(telemetry.is_quiet(), "one span for each request");
    }
    names
}

#[tokio::test]
async fn an_outer_layer_sees_the_full_template() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let merged = Router::new().route("/merged/{id}", get(|| async {}));
        let router = Router::new()
            .nest("/shops/{shop}", inner())
            .nest_service("/service", inner())
            .merge(merged)
            .fallback(|| async { "nothing here" })
            .layer(telemetry.layer());
        let names =
            names(router, &mut telemetry, &["/shops/1/items/2", "/merged/3", "/else", "/service/items/4"]).await;
        assert_eq!(names[..3], ["GET /shops/{shop}/items/{item}", "GET /merged/{id}", "GET"]);
        // For a nested service, the router only knows the prefix.
        assert!(!names[3].contains("private") && !names[3].contains('4'), "{names:?}");
    }
}

#[tokio::test]
async fn a_layer_on_a_nested_router_sees_the_full_template() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let router = Router::new().nest("/shops/{shop}", inner().layer(telemetry.layer())).route("/bare", get(|| async {}));
    let address = serve(router).await;
    exchange(address, &get_request("/bare")).await;
    exchange(address, &get_request("/shops/1/items/2")).await;
    assert_eq!(telemetry.span().await.name, "GET /shops/{shop}/items/{item}");
    assert!(telemetry.is_quiet());
}

#[tokio::test]
async fn a_layer_around_a_router_sees_no_route() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let app = ServiceBuilder::new().layer(telemetry.layer()).service(inner());
    let request = Request::get("/items/1").body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(app, request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let span = telemetry.span().await;
    assert_eq!((span.name.as_ref(), value(&span, "http.route")), ("GET", None));
}

async fn over_http2(address: SocketAddr, requests: Vec<Request<Empty<Bytes>>>) -> Vec<(http::response::Parts, Bytes)> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for request in requests {
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        responses.push((parts, body.collect().await.unwrap().to_bytes()));
    }
    responses
}

#[tokio::test]
async fn http2_requests_have_the_same_attributes() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(inner().layer(telemetry.layer())).await;
        let request =
            Request::get(format!("http://two.example:{}/items/1", address.port())).body(Empty::new()).unwrap();
        let responses = over_http2(address, vec![request]).await;
        assert_eq!(responses[0].1, "item");
        assert!(responses[0].0.headers.contains_key("server-timing"));
        let span = telemetry.span().await;
        assert_eq!((span.name.as_ref(), &span.status), ("GET /items/{item}", &Status::Unset));
        for (key, expected) in [
            ("network.protocol.version", "2"),
            ("server.address", "two.example"),
            ("url.scheme", "http"),
            ("http.response.body.size", "4"),
        ] {
            assert_eq!(text(&span, key), expected, "{key}");
        }
        assert_eq!(value(&span, "error.type"), None);
    }
}

#[tokio::test]
async fn a_reset_http2_stream_is_cancelled() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let (started, mut start) = tokio::sync::mpsc::unbounded_channel();
    let slow = move || {
        started.send(()).unwrap();
        std::future::pending::<()>()
    };
    let address = serve(Router::new().route("/", get(slow)).layer(telemetry.layer())).await;
    let request = Request::get(format!("http://{address}/")).body(Empty::new()).unwrap();
    let client = tokio::spawn(over_http2(address, vec![request]));
    start.recv().await.unwrap();
    client.abort();
    assert_eq!(text(&telemetry.span().await, "error.type"), "cancelled");
    assert_eq!(telemetry.active(), 0);
}

#[tokio::test]
async fn a_plain_hyper_service_is_traced_without_a_route() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let inner = tower::service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("plain"))))
        });
        let service = ServiceBuilder::new().layer(telemetry.layer()).service(inner);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(service);
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
        assert!(exchange(address, &get_request("/anything/7")).await.ends_with("plain"));
        let span = telemetry.span().await;
        assert_eq!((span.name.as_ref(), value(&span, "http.route")), ("GET", None));
        assert_eq!(
            (text(&span, "url.path"), text(&span, "http.response.body.size")),
            ("/anything/7".into(), "5".into())
        );
        // The service has no connection info.
        assert_eq!(value(&span, "client.address"), None);
    }
}
