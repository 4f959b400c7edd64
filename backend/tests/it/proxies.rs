//! Tests of Cruddur behind proxies: which cookies are `Secure`.

use reqwest::{RequestBuilder, Response, header};

use crate::support::{Bench, Start as _};

/// Chooses a user and returns the response.
async fn choose(request: RequestBuilder) -> Response {
    request.json(&serde_json::json!({ "handle": "andrewbrown" })).send().await.unwrap()
}

#[tokio::test]
async fn an_untrusted_proxy_does_not_make_a_cookie_secure() {
    for trusted in ["192.0.2.1", "off"] {
        let bench = Bench::start_with(&[], &[("THROUGHLINE_TRUSTED_PROXIES", trusted)]);
        let response = choose(bench.request("PUT", "/api/session").header("x-forwarded-proto", "https")).await;
        assert!(!response.headers()[header::SET_COOKIE].to_str().unwrap().contains("Secure"));
    }
}

#[tokio::test]
async fn over_tls_every_cookie_is_secure() {
    let bench = Bench::start();
    for (scheme, is_secure) in [("https", true), ("http", false)] {
        let user = choose(bench.request("PUT", "/api/session").header("x-forwarded-proto", scheme)).await;
        let page = bench.get("/").header("forwarded", format!("proto={scheme}")).send().await.unwrap();
        for response in [user, page] {
            let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
            assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
        }
    }
}
