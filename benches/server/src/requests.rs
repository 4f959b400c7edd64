//! Requests that are handled without a socket.

use std::{hint::black_box, net::SocketAddr};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use tower::Service;

/// The number of requests between two flushes, so that no queue overflows and the exporter's work is measured too.
pub const BATCH: usize = 512;

/// Sends `requests` requests to `app` in sequence, and reads the responses to the end.
///
/// # Panics
/// Panics if a response is not a success.
pub async fn serve(app: &mut Router, requests: usize) {
    for number in 0..requests {
        let response = match app.call(request(number)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        assert!(response.status().is_success(), "the application responded with {}", response.status());
        black_box(response.into_body().collect().await.ok());
    }
}

/// Returns a request as sent by a traced page.
fn request(number: usize) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    // Alternately from a tracer of level 2 of the specification, like ours, and one of level 1.
    let (uri, parent) = match number % 2 {
        0 => ("/api/users/7?page=2", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
        _ => ("/api/users/8", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    };
    *request.uri_mut() = Uri::from_static(uri);
    for (name, value) in [
        ("host", "app.example:8080"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("traceparent", parent),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 54_321))));
    request
}
