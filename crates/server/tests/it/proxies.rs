//! Who asks, where proxies stand between: what they say counts if they are trusted, and opens nothing.

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, header};
use throughline_inspector_api::Span;

use crate::support::{Bench, Start as _, as_json, gzip, new_span_id, new_trace_id, read, refused, text, traceparent};

const JSON: &str = "application/json";
const TOKEN: &str = "0123456789abcdef";

/// From a page with a session of its own, by a proxy that says this.
async fn post(bench: &Bench, body: &str, name: &str, value: &str) -> RequestBuilder {
    let issued: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
    let request = bench.request("POST", "/v1/traces").header(name, value);
    let request = request.header(header::CONTENT_TYPE, JSON).header(header::CONTENT_ENCODING, "gzip");
    request.header("x-throughline-ingest-token", issued["ingest_token"].as_str().unwrap()).body(gzip(body.as_bytes()))
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// What a page reported by such a proxy.
async fn reported(bench: &Bench, name: &str, value: &str) -> Span {
    let trace_id = new_trace_id();
    let body = as_json(&[(&trace_id, &new_span_id(), "open")]);
    assert_eq!(status(post(bench, &body, name, value).await).await, 200);
    bench.trace(&trace_id, 1).await.spans.remove(0)
}

/// What the server's span says of a request by such a proxy: client, scheme and host.
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
async fn behind_a_trusted_proxy_each_client_has_a_rate_of_its_own() {
    // Each is rejected, and counts: what a client may send in 19 s, and not more than all together may at once.
    let many = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, vec!["{}"; 19_000].join(","));
    let one = as_json(&[(&new_trace_id(), &new_span_id(), "open")]);
    loop {
        let bench = Bench::start();
        let send = async |name: &str, value: &str| status(post(&bench, &one, name, value).await).await;
        let sent = Instant::now();
        assert_eq!(status(post(&bench, &many, "x-forwarded-for", "203.0.113.7").await).await, 200);
        // Ingest tokens cost too.
        let ingest_token = bench.request("POST", "/v1/ingest-token").header("x-forwarded-for", "203.0.113.7");
        let seen = [
            send("x-forwarded-for", "203.0.113.7").await,
            send("forwarded", "for=203.0.113.7").await,
            status(ingest_token).await,
            // The first in the list is what the client wrote itself.
            send("x-forwarded-for", "203.0.113.7, 203.0.113.8").await,
        ];
        // What it owes is paid after 9 s; a machine that takes so long for this tells nothing.
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
async fn who_is_no_trusted_proxy_is_not_believed() {
    for trusted in ["192.0.2.1", "off"] {
        let bench = Bench::start_with(&[], &[("THROUGHLINE_TRUSTED_PROXIES", trusted)]);
        let said = "for=203.0.113.7;proto=https;host=shop.example";
        assert_eq!(served(&bench, "forwarded", said).await, some(["127.0.0.1", "http", "127.0.0.1"]));
        let span = reported(&bench, "x-forwarded-for", "203.0.113.7").await;
        assert_eq!(text(&span.attributes, "client.address").as_deref(), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn an_inspector_that_is_open_on_loopback_is_not_open_to_what_comes_by_a_proxy() {
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
        // A proxy that stands here as well, as in development.
        let own = bench.get("/api/traces").header("x-forwarded-for", "127.0.0.1");
        assert_eq!(status(own.header("x-forwarded-host", "localhost:3000")).await, 200);
    }
    // A name that leads here is none the better for a proxy between.
    let bench = Bench::start();
    let renamed = bench.get("/api/traces").header("x-forwarded-host", "evil.example");
    refused(renamed, 403, "unknown_host").await;
}

#[tokio::test]
async fn what_is_opened_to_others_is_open_by_a_proxy_too() {
    let forwarded = |bench: &Bench| bench.get("/api/traces").header("x-forwarded-for", "203.0.113.7");
    let bench = Bench::start_with(&["--inspector-access", "open"], &[]);
    assert_eq!(status(forwarded(&bench)).await, 200);
    let bench = Bench::start_with(&["--inspector-access", "token", "--access-token", TOKEN], &[]);
    assert_eq!(status(forwarded(&bench)).await, 401);
    assert_eq!(status(forwarded(&bench).header("x-real-ip", "127.0.0.1")).await, 401);
    assert_eq!(status(forwarded(&bench).bearer_auth(TOKEN)).await, 200);
}
