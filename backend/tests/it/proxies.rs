//! Proxies in front of Cruddur: whether a cookie is one of TLS.

use reqwest::{RequestBuilder, Response, header};

use crate::support::{Bench, Start as _};

/// The response to the choice of a user.
async fn choose(request: RequestBuilder) -> Response {
    request.json(&serde_json::json!({ "handle": "andrewbrown" })).send().await.unwrap()
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_does_not_make_a_cookie_one_of_tls() {
    for trusted in ["192.0.2.1", "off"] {
        let bench = Bench::start_with(&[], &[("THROUGHLINE_TRUSTED_PROXIES", trusted)]);
        let response = choose(bench.request("PUT", "/api/session").header("x-forwarded-proto", "https")).await;
        assert!(!response.headers()[header::SET_COOKIE].to_str().unwrap().contains("Secure"));
    }
}

#[tokio::test]
async fn over_tls_every_cookie_stays_there() {
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
