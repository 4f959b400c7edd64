//! Tests of pages, readiness, and other origins.
//!
//! The page must be built into the program (`cargo xtask build`).

use reqwest::{RequestBuilder, Response, header};

use crate::support::{Bench, Start as _, binary, metric, refused};

const PAGES: &str = "https://pages.test:8443";

/// Requests a page, which must be built into the program.
async fn page(request: RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "build the page with `cargo xtask build`");
    assert!(value(&response, "content-type").unwrap().starts_with("text/html"));
    response
}

fn value(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// Returns the items of a header that is a list.
fn list(response: &Response, name: &str) -> Vec<String> {
    let value = value(response, name).unwrap_or_else(|| panic!("no {name}"));
    value.split(',').map(|word| word.trim().to_lowercase()).collect()
}

#[tokio::test]
async fn the_server_is_live_and_ready() {
    let bench = Bench::start();
    for path in ["/livez", "/readyz"] {
        let response = bench.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn pages_have_security_headers() {
    let bench = Bench::start();
    let response = page(bench.get("/").header(header::ACCEPT, "text/html")).await;
    assert_eq!(value(&response, "x-content-type-options").as_deref(), Some("nosniff"));
    let policy = value(&response, "content-security-policy").expect("a policy");
    let directive = |name: &str| policy.split(';').map(str::trim).find(|directive| directive.starts_with(name));
    let scripts = directive("script-src").or_else(|| directive("default-src")).expect("a directive for scripts");
    assert!(!scripts.contains("'unsafe-inline'") && !scripts.contains("'unsafe-eval'"), "{policy}");
    assert!(value(&response, "etag").is_some(), "no etag");
    assert!(!value(&response, "cache-control").unwrap_or_default().contains("immutable"), "the page is immutable");
}

#[tokio::test]
async fn a_document_has_an_ingest_token_and_is_not_cached_by_proxies() {
    let bench = Bench::start();
    let response = page(bench.get("/").header("sec-fetch-dest", "document")).await;
    let ingest_token = metric(response.headers(), "ingest_token").expect("an ingest token");
    let request = bench.request("POST", "/v1/traces").header("x-throughline-ingest-token", ingest_token);
    let batch = request.header(header::CONTENT_TYPE, "application/json").body("{}");
    assert_eq!(batch.send().await.unwrap().status(), 200);
    assert!(
        list(&response, "cache-control")
            .iter()
            .any(|word| matches!(word.as_str(), "no-store" | "no-cache" | "private"))
    );
}

#[tokio::test]
async fn responses_of_the_api_have_nosniff_too() {
    let response = Bench::start().get("/api/users").send().await.unwrap();
    assert_eq!(value(&response, "x-content-type-options").as_deref(), Some("nosniff"));
}

#[tokio::test]
async fn any_address_is_a_page_for_a_navigation() {
    let bench = Bench::start();
    for path in ["/@mirela", "/search?term=x", "/no/such/page"] {
        page(bench.get(path).header(header::ACCEPT, "text/html,*/*;q=0.8")).await;
    }
}

#[tokio::test]
async fn an_unknown_address_is_404_for_other_requests() {
    let bench = Bench::start();
    for path in ["/no/such/page", "/no-such.wasm", "/no-such.js", "/assets/no-such.css"] {
        for accept in ["application/json", "*/*", "application/wasm"] {
            refused(bench.get(path).header(header::ACCEPT, accept), 404, "no_such_address").await;
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_404_and_not_a_page() {
    let bench = Bench::start();
    for path in ["/page-0123456789abcdef_bg.wasm", "/page-0123456789abcdef.js"] {
        let request = bench.get(path).header("sec-fetch-dest", "script");
        refused(request, 404, "no_such_address").await;
    }
}

#[tokio::test]
async fn path_traversal_is_rejected() {
    let bench = Bench::start();
    for path in ["/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/%ff"] {
        let response = bench.get(path).send().await.unwrap();
        assert!(response.status().is_client_error(), "{path}: {}", response.status());
    }
}

#[tokio::test]
async fn an_allowed_origin_may_send_context_and_ingest_token() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for (method, path) in [
        ("POST", "/api/activities"),
        ("PUT", "/api/session"),
        ("DELETE", "/api/activities/x/like"),
        ("POST", "/v1/traces"),
        ("POST", "/v1/logs"),
        ("POST", "/v1/ingest-token"),
    ] {
        let request = bench.request("OPTIONS", path).header(header::ORIGIN, PAGES);
        let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, method);
        let wanted = "baggage,content-encoding,content-type,traceparent,tracestate,x-throughline-ingest-token";
        let response = request.header(header::ACCESS_CONTROL_REQUEST_HEADERS, wanted).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert_eq!(value(&response, "access-control-allow-credentials").as_deref(), Some("true"));
        let allowed = list(&response, "access-control-allow-headers");
        for name in wanted.split(',') {
            assert!(allowed.iter().any(|allowed| allowed == name), "{path}: {name} is not in {allowed:?}");
        }
        assert!(list(&response, "access-control-allow-methods").contains(&method.to_lowercase()), "{path}");
    }
}

#[tokio::test]
async fn an_allowed_origin_can_read_responses_and_their_timing() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for path in ["/api/users", "/api/nope", "/api/activities/@nobody"] {
        let response = bench.get(path).header(header::ORIGIN, PAGES).send().await.unwrap();
        assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert_eq!(value(&response, "access-control-allow-credentials").as_deref(), Some("true"));
        assert_eq!(value(&response, "timing-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert!(list(&response, "access-control-expose-headers").contains(&"server-timing".to_owned()));
        assert!(list(&response, "vary").contains(&"origin".to_owned()), "responses vary by origin");
    }
    // A rejected batch must be readable too, so that the page can read the reason.
    for path in ["/v1/traces", "/v1/logs"] {
        let refused = bench.request("POST", path).header(header::ORIGIN, PAGES).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(value(&refused, "access-control-allow-origin").as_deref(), Some(PAGES));
    }
}

#[tokio::test]
async fn other_origins_cannot_read_responses() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for origin in [
        "https://evil.test",
        "https://pages.test",
        "http://pages.test:8443",
        "https://pages.test:8443.evil.test",
        "null",
    ] {
        let preflight = bench.request("OPTIONS", "/api/activities").header(header::ORIGIN, origin);
        let preflight = preflight.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").send().await.unwrap();
        let simple = bench.get("/api/users").header(header::ORIGIN, origin).send().await.unwrap();
        for response in [preflight, simple] {
            // The header may name the allowed origin instead: a browser treats that as a rejection.
            for name in ["access-control-allow-origin", "timing-allow-origin"] {
                assert!(response.headers().get_all(name).iter().all(|allowed| allowed == PAGES), "{name} for {origin}");
            }
        }
    }
}

#[tokio::test]
async fn several_origins_can_be_allowed_by_flag_and_by_variable() {
    let both = "http://one.test,http://two.test";
    let flags = ["--allow-origin", "http://one.test", "--allow-origin", "http://two.test"];
    for bench in [Bench::start_with(&[], &[("FRONTEND_URL", both)]), Bench::start_with(&flags, &[])] {
        for origin in ["http://one.test", "http://two.test"] {
            let response = bench.get("/api/users").header(header::ORIGIN, origin).send().await.unwrap();
            assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(origin));
            assert!(response.headers().get_all("timing-allow-origin").iter().any(|allowed| allowed == origin));
        }
    }
}

#[tokio::test]
async fn the_inspector_has_its_own_page_and_must_be_at_the_root() {
    let read = async |bench: &Bench, path: &str| {
        page(bench.get(path).header(header::ACCEPT, "text/html")).await.text().await.unwrap()
    };
    let bench = Bench::start();
    assert!(read(&bench, "/traces").await.contains("throughline-base"));
    assert!(!read(&bench, "/").await.contains("throughline-base"));
    // Cruddur's page sends its requests to the root.
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(binary())
        .args(["--base-path", "/tl", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("--base-path"), "{stderr}");
}

#[test]
fn help_lists_the_program_and_the_settings_of_throughline() {
    let output = std::process::Command::new(binary()).env_clear().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Usage: cruddur") && help.contains("--base-path"), "{help}");
}
