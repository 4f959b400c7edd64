//! The inspector under a base path: one that is set, or one that a proxy removes.
//!
//! The inspector's page has to be built into the program (`cargo xtask build`).

use reqwest::{RequestBuilder, header};
use throughline_inspector_api::{Trace, TraceList};

use crate::support::{Bench, Start as _, as_json, new_span_id, new_trace_id, read, refused};

const TOKEN: &str = "0123456789abcdef";
const PREFIX: &str = "x-forwarded-prefix";

/// Returns the page, whose status must be 200.
async fn page(request: RequestBuilder) -> String {
    let response = request.header(header::ACCEPT, "text/html").send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(!body.contains("__throughline_base__"), "{body}");
    body
}

/// Returns the paths of the page's files.
fn files(page: &str) -> Vec<&str> {
    let mut files: Vec<&str> =
        page.split(['"', '\'']).filter(|text| text.starts_with('/') && text.contains("/assets/")).collect();
    files.sort_unstable();
    files.dedup();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// Returns the location of a redirect.
async fn location(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    assert!(response.status().is_redirection(), "{}", response.status());
    response.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn all_routes_of_the_inspector_are_under_the_base_path() {
    // A trailing slash is ignored.
    for bench in
        [Bench::start_with(&["--base-path", "/tl"], &[]), Bench::start_with(&[], &[("THROUGHLINE_BASE_PATH", "/tl/")])]
    {
        assert_eq!(bench.server().addresses().inspector, bench.url("/tl/traces"));
        for path in ["/", "/tl", "/tl/"] {
            assert_eq!(location(bench.get(path)).await, "/tl/traces", "{path}");
        }
        assert!(bench.read::<TraceList>("/tl/api/traces").await.traces.is_empty());
        let issued: serde_json::Value = read(bench.request("POST", "/tl/v1/ingest-token")).await;
        let trace_id = new_trace_id();
        let batch = bench.request("POST", "/tl/v1/traces").header(header::CONTENT_TYPE, "application/json");
        let batch = batch.header("x-throughline-ingest-token", issued["ingest_token"].as_str().unwrap());
        let batch = batch.body(as_json(&[(&trace_id, &new_span_id(), "open")]));
        assert_eq!(batch.send().await.unwrap().status(), 200);
        let trace: Trace = bench.read(&format!("/tl/api/traces/{trace_id}")).await;
        assert_eq!(trace.spans[0].name, "open");
        for path in ["/traces", "/api/traces", "/api/metrics", "/v1/traces", "/tl/no/such/page", "/tltraces"] {
            refused(bench.get(path), 404, "no_such_address").await;
        }
        // Health checks are not under the base path.
        assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_page_loads_its_files_from_the_base_path() {
    let bench = Bench::start_with(&["--base-path", "/tools/tl"], &[]);
    for path in ["/tools/tl/traces", "/tools/tl/traces/0123456789abcdef0123456789abcdef"] {
        let page = page(bench.get(path)).await;
        assert!(page.contains(r#"content="/tools/tl""#), "{page}");
        for file in files(&page) {
            assert!(file.starts_with("/tools/tl/traces/assets/"), "{file}");
            assert_eq!(bench.get(file).send().await.unwrap().status(), 200, "{file}");
        }
    }
}

#[tokio::test]
async fn the_prefix_of_a_trusted_proxy_is_added_to_urls() {
    let bench = Bench::start();
    let page = page(bench.get("/traces").header(PREFIX, "/tl")).await;
    assert!(page.contains(r#"content="/tl""#), "{page}");
    for file in files(&page) {
        // The proxy removes the prefix from the request.
        let file = file.strip_prefix("/tl").unwrap();
        assert!(file.starts_with("/traces/assets/"), "{file}");
        assert_eq!(bench.get(file).header(PREFIX, "/tl").send().await.unwrap().status(), 200, "{file}");
    }
    assert_eq!(location(bench.get("/").header(PREFIX, "/tl")).await, "/tl/traces");
    // The prefix is inserted into the page, so that only a path is accepted.
    for wrong in ["//evil.example", "tl", "/\"><script>", "/../x"] {
        assert_eq!(location(bench.get("/").header(PREFIX, wrong)).await, "/traces", "{wrong}");
    }
}

#[tokio::test]
async fn the_prefix_of_a_proxy_precedes_the_base_path() {
    let args = ["--base-path", "/tl", "--inspector-access", "token", "--access-token", TOKEN];
    let bench = Bench::start_with(&args, &[]);
    let page = page(bench.get("/tl/traces").header(PREFIX, "/shop")).await;
    assert!(files(&page).iter().all(|file| file.starts_with("/shop/tl/traces/assets/")), "{page}");
    assert_eq!(location(bench.get("/").header(PREFIX, "/shop")).await, "/shop/tl/traces");
    let enter = bench.get(&format!("/tl/traces?access_token={TOKEN}&text=x")).header(PREFIX, "/shop");
    assert_eq!(location(enter).await, "/shop/tl/traces?text=x");
}

#[tokio::test]
async fn the_prefix_of_an_untrusted_peer_is_ignored() {
    for trusted in ["off", "192.0.2.1"] {
        let args = ["--trusted-proxies", trusted, "--inspector-access", "token", "--access-token", TOKEN];
        let bench = Bench::start_with(&args, &[]);
        assert_eq!(location(bench.get("/").header(PREFIX, "/tl")).await, "/traces");
        let enter = bench.get(&format!("/traces?access_token={TOKEN}")).header(PREFIX, "/tl");
        assert_eq!(location(enter).await, "/traces");
        let page = page(bench.get("/traces").header(PREFIX, "/tl")).await;
        assert!(files(&page).iter().all(|file| file.starts_with("/traces/assets/")), "{page}");
    }
}
