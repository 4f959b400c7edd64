//! Clients behind proxies: the headers of trusted proxies are used, and they never grant access to the inspector.

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, header};
use throughline_inspector_api::Span;

use crate::support::{Bench, Start as _, as_json, gzip, new_span_id, new_trace_id, read, refused, text, traceparent};

const JSON: &str = "application/json";
const TOKEN: &str = "0123456789abcdef";

/// Returns a batch of a page with a new session, with one forwarding header.
async fn post(bench: &Bench, body: &str, name: &str, value: &str) -> RequestBuilder {
    let issued: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    let request = bench.request("POST", "/v1/traces").header(name, value);
    let request = request.header(header::CONTENT_TYPE, JSON).header(header::CONTENT_ENCODING, "gzip");
    request.header("x-throughline-ingest-token", issued["ingest_token"].as_str().unwrap()).body(gzip(body.as_bytes()))
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// Sends the span of a page with a forwarding header, and returns the stored span.
async fn reported(bench: &Bench, name: &str, value: &str) -> Span {
    let trace_id = new_trace_id();
    let body = as_json(&[(&trace_id, &new_span_id(), "open")]);
    assert_eq!(status(post(bench, &body, name, value).await).await, 200);
    bench.trace(&trace_id, 1).await.spans.remove(0)
}

/// Sends a traced request with a forwarding header, and returns the client, scheme and host of the server's span.
async fn served(bench: &Bench, name: &str, value: &str) -> [Option<String>; 3] {
    let trace_id = new_trace_id();
    let request = bench.get("/no/such/page").header("traceparent", traceparent(&trace_id, &new_span_id()));
    assert_eq!(status(request.header(name, value)).await, 404);
    let span = bench.server_span(&trace_id).await;
    ["client.address", "url.scheme", "server.address"].map(|key| text(&span.attributes, key))
}

fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()))
}

#[tokio::test]
async fn rate_limits_apply_per_client_behind_a_trusted_proxy() {
    // Rejected records count too: 19 s worth of one client's rate, and within the burst of all clients together.
    let many = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, vec!["{}"; 19_000].join(","));
    let one = as_json(&[(&new_trace_id(), &new_span_id(), "open")]);
    loop {
        let bench = Bench::start();
        let send = async |name: &str, value: &str| status(post(&bench, &one, name, value).await).await;
        let sent = Instant::now();
        assert_eq!(status(post(&bench, &many, "x-forwarded-for", "203.0.113.7").await).await, 200);
        // Requests for ingest tokens count too.
        let ingest_token = bench.request("POST", "/v1/ingest-token").header("x-forwarded-for", "203.0.113.7");
        let seen = [
            send("x-forwarded-for", "203.0.113.7").await,
            send("forwarded", "for=203.0.113.7").await,
            status(ingest_token).await,
            // The client itself wrote the first address in the list.
            send("x-forwarded-for", "203.0.113.7, 203.0.113.8").await,
        ];
        // The client is over its limit for 9 s. On a machine that is too slow, the test is repeated.
        if sent.elapsed() < Duration::from_secs(5) {
            assert_eq!(seen, [429, 429, 429, 200]);
            break;
        }
    }
}

#[tokio::test]
async fn a_chain_of_proxies_is_followed_as_far_as_it_is_trusted() {
    let bench = Bench::start_with(&["--trusted-proxies", "127.0.0.1,10.0.0.0/8"], &[]);
    let chain = "for=198.51.100.66;proto=ftp, for=203.0.113.7;proto=https;host=shop.example, for=10.0.0.9;proto=http";
    assert_eq!(served(&bench, "forwarded", chain).await, some(["203.0.113.7", "https", "shop.example"]));
    let span = reported(&bench, "forwarded", chain).await;
    assert_eq!(text(&span.attributes, "client.address").as_deref(), Some("203.0.113.7"));
    let list = "198.51.100.66, 203.0.113.7, 10.0.0.9";
    assert_eq!(served(&bench, "x-forwarded-for", list).await, some(["203.0.113.7", "http", "127.0.0.1"]));
    let span = reported(&bench, "x-forwarded-for", list).await;
    assert_eq!(text(&span.attributes, "client.address").as_deref(), Some("203.0.113.7"));
}

#[tokio::test]
async fn headers_of_untrusted_peers_are_ignored() {
    for trusted in ["192.0.2.1", "off"] {
        let bench = Bench::start_with(&[], &[("THROUGHLINE_TRUSTED_PROXIES", trusted)]);
        let header = "for=203.0.113.7;proto=https;host=shop.example";
        assert_eq!(served(&bench, "forwarded", header).await, some(["127.0.0.1", "http", "127.0.0.1"]));
        let span = reported(&bench, "x-forwarded-for", "203.0.113.7").await;
        assert_eq!(text(&span.attributes, "client.address").as_deref(), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn an_inspector_on_loopback_is_not_open_to_forwarded_requests() {
    for trusted in ["127.0.0.0/8", "off"] {
        let bench = Bench::start_with(&["--trusted-proxies", trusted], &[]);
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-for", "127.0.0.1, 203.0.113.7"),
            ("x-forwarded-for", "203.0.113.7, 127.0.0.1"),
            ("x-real-ip", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
            ("forwarded", "for=127.0.0.1, for=_hidden"),
        ] {
            for path in ["/api/traces", "/api/metrics"] {
                refused(bench.get(path).header(name, value), 403, "not_on_this_machine").await;
            }
        }
        // Client and proxy are both on this machine, as in development.
        let own = bench.get("/api/traces").header("x-forwarded-for", "127.0.0.1");
        assert_eq!(status(own.header("x-forwarded-host", "localhost:3000")).await, 200);
    }
    // An unknown host is rejected also if a proxy forwards it.
    let bench = Bench::start();
    let renamed = bench.get("/api/traces").header("x-forwarded-host", "evil.example");
    refused(renamed, 403, "unknown_host").await;
}

#[tokio::test]
async fn open_and_token_access_apply_to_forwarded_requests() {
    let forwarded = |bench: &Bench| bench.get("/api/traces").header("x-forwarded-for", "203.0.113.7");
    let bench = Bench::start_with(&["--inspector-access", "open"], &[]);
    assert_eq!(status(forwarded(&bench)).await, 200);
    let bench = Bench::start_with(&["--inspector-access", "token", "--access-token", TOKEN], &[]);
    assert_eq!(status(forwarded(&bench)).await, 401);
    assert_eq!(status(forwarded(&bench).header("x-real-ip", "127.0.0.1")).await, 401);
    assert_eq!(status(forwarded(&bench).bearer_auth(TOKEN)).await, 200);
}
