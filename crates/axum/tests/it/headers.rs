//! Tests of forwarding headers and recorded headers.

use axum::{Router, routing::get};
use http::{HeaderName, header};
use throughline_axum::{IpNet, TraceLayer};

use crate::harness::{Telemetry, Way, exchange, get as get_request, request, serve, text};

fn router(layer: TraceLayer) -> Router {
    let response = || async { [("set-cookie", "s=response-secret"), ("x-response", "recorded"), ("etag", "\"1\"")] };
    Router::new().route("/", get(response)).layer(layer)
}

const FORWARDED: &str = "forwarded: for=192.0.2.7;proto=https;host=\"shop.example:8443\"\r\n";
const X_FORWARDED: &str =
    "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: shop.example:8443\r\n";

#[tokio::test]
async fn forwarding_headers_of_a_trusted_proxy_are_used() {
    for way in Way::BOTH {
        for headers in [FORWARDED, X_FORWARDED] {
            let mut telemetry = Telemetry::new(way);
            let loopback: IpNet = "127.0.0.0/8".parse().unwrap();
            let address = serve(router(telemetry.layer().trusted_proxies([loopback]))).await;
            exchange(address, &request("GET", "/", headers)).await;
            let span = telemetry.span().await;
            for (key, expected) in [
                ("client.address", "192.0.2.7"),
                ("url.scheme", "https"),
                ("server.address", "shop.example"),
                ("server.port", "8443"),
                ("network.peer.address", "127.0.0.1"),
            ] {
                assert_eq!(text(&span, key), expected, "{key} by {headers}");
            }
        }
    }
}

#[tokio::test]
async fn forwarding_headers_of_other_peers_are_ignored() {
    for networks in [vec![], vec!["10.0.0.0/8".parse::<IpNet>().unwrap()]] {
        for headers in [FORWARDED, X_FORWARDED] {
            let mut telemetry = Telemetry::new(Way::Tracer);
            let address = serve(router(telemetry.layer().trusted_proxies(networks.clone()))).await;
            exchange(address, &request("GET", "/", headers)).await;
            let span = telemetry.span().await;
            for (key, expected) in [
                ("client.address", "127.0.0.1"),
                ("url.scheme", "http"),
                ("server.address", "app.example"),
                ("server.port", "8080"),
            ] {
                assert_eq!(text(&span, key), expected, "{key} by {headers}");
            }
        }
    }
}

#[tokio::test]
async fn no_header_is_recorded_by_default() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        exchange(address, &request("GET", "/", "cookie: s=secret\r\nauthorization: Bearer secret\r\nx-tenant: a\r\n"))
            .await;
        let span = telemetry.span().await;
        let headers: Vec<_> = span.attributes.iter().filter(|kv| kv.key.as_str().contains(".header.")).collect();
        assert!(headers.is_empty(), "{headers:?}");
        assert!(!format!("{span:?}").contains("secret"));
    }
}

#[tokio::test]
async fn selected_headers_are_recorded_except_credentials() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let never = [header::COOKIE, header::AUTHORIZATION, header::SET_COOKIE, header::PROXY_AUTHORIZATION];
    let mut layer = telemetry.layer().record_request_header(HeaderName::from_static("x-tenant"));
    layer = layer.record_response_header(HeaderName::from_static("x-response"));
    for name in never {
        layer = layer.record_request_header(name.clone()).record_response_header(name);
    }
    let address = serve(router(layer)).await;
    let headers = "cookie: s=secret\r\nauthorization: Bearer secret\r\nproxy-authorization: secret\r\n\
                   x-tenant: a\r\nx-tenant: b\r\n";
    exchange(address, &request("GET", "/", headers)).await;
    let span = telemetry.span().await;
    assert_eq!(text(&span, "http.request.header.x-tenant"), "[\"a\",\"b\"]");
    assert_eq!(text(&span, "http.response.header.x-response"), "[\"recorded\"]");
    assert!(!format!("{span:?}").contains("secret"), "{span:?}");
    assert_eq!(span.attributes.iter().filter(|kv| kv.key.as_str().contains(".header.")).count(), 2);
}

#[tokio::test]
async fn credentials_in_the_query_are_redacted() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(router(telemetry.layer())).await;
        exchange(address, &get_request("/?q=1&X-Amz-Signature=hidden&sig=hidden&access_token=hidden")).await;
        let span = telemetry.span().await;
        let query = text(&span, "url.query");
        assert_eq!(query, "q=1&X-Amz-Signature=REDACTED&sig=REDACTED&access_token=REDACTED");
        assert!(!format!("{span:?}").contains("hidden"));
    }
}
