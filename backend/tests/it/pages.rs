//! Pages, readiness, and other origins.
//!
//! The page has to be built into the program (`cargo xtask build`).

use reqwest::{RequestBuilder, Response, header};

use crate::support::{Bench, Start as _, binary, metric, refused};

const PAGES: &str = "https://pages.test:8443";

/// A page, which has to be built into the program.
async fn page(request: RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "build the page with `cargo xtask build`");
    assert!(value(&response, "content-type").unwrap().starts_with("text/html"));
    response
}

fn value(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// The words of a header that is a list.
fn list(response: &Response, name: &str) -> Vec<String> {
    let value = value(response, name).unwrap_or_else(|| panic!("no {name}"));
    value.split(',').map(|word| word.trim().to_lowercase()).collect()
}

#[tokio::test]
async fn it_lives_and_is_ready() {
    let bench = Bench::start();
    for path in ["/livez", "/readyz"] {
        let response = bench.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn pages_have_the_headers_that_protect_them() {
    let bench = Bench::start();
    let response = page(bench.get("/").header(header::ACCEPT, "text/html")).await;
    assert_eq!(value(&response, "x-content-type-options").as_deref(), Some("nosniff"));
    let policy = value(&response, "content-security-policy").expect("a policy");
    let directive = |name: &str| policy.split(';').map(str::trim).find(|directive| directive.starts_with(name));
    let scripts = directive("script-src").or_else(|| directive("default-src")).expect("what scripts may be");
    assert!(!scripts.contains("'unsafe-inline'") && !scripts.contains("'unsafe-eval'"), "{policy}");
    assert!(value(&response, "etag").is_some(), "no etag");
    assert!(!value(&response, "cache-control").unwrap_or_default().contains("immutable"), "a page is not for ever");
}

#[tokio::test]
async fn a_document_brings_its_ingest_token_and_is_not_shared_by_caches() {
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
async fn answers_of_the_api_are_not_sniffed_either() {
    let response = Bench::start().get("/api/users").send().await.unwrap();
    assert_eq!(value(&response, "x-content-type-options").as_deref(), Some("nosniff"));
}

#[tokio::test]
async fn any_address_is_a_page_for_a_browser_that_navigates() {
    let bench = Bench::start();
    for path in ["/@mirela", "/search?term=x", "/no/such/page"] {
        page(bench.get(path).header(header::ACCEPT, "text/html,*/*;q=0.8")).await;
    }
}

#[tokio::test]
async fn an_unknown_address_is_not_found_for_anything_else() {
    let bench = Bench::start();
    for path in ["/no/such/page", "/no-such.wasm", "/no-such.js", "/assets/no-such.css"] {
        for accept in ["application/json", "*/*", "application/wasm"] {
            refused(bench.get(path).header(header::ACCEPT, accept), 404, "no_such_address").await;
        }
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_never_a_page() {
    let bench = Bench::start();
    for path in ["/page-0123456789abcdef_bg.wasm", "/page-0123456789abcdef.js"] {
        let request = bench.get(path).header("sec-fetch-dest", "script");
        refused(request, 404, "no_such_address").await;
    }
}

#[tokio::test]
async fn an_address_cannot_climb_out() {
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
async fn an_allowed_origin_sees_answers_and_their_timing() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for path in ["/api/users", "/api/nope", "/api/activities/@nobody"] {
        let response = bench.get(path).header(header::ORIGIN, PAGES).send().await.unwrap();
        assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert_eq!(value(&response, "access-control-allow-credentials").as_deref(), Some("true"));
        assert_eq!(value(&response, "timing-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert!(list(&response, "access-control-expose-headers").contains(&"server-timing".to_owned()));
        assert!(list(&response, "vary").contains(&"origin".to_owned()), "caches must know");
    }
    // A refused batch must be readable too, or the page cannot know why.
    for path in ["/v1/traces", "/v1/logs"] {
        let refused = bench.request("POST", path).header(header::ORIGIN, PAGES).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(value(&refused, "access-control-allow-origin").as_deref(), Some(PAGES));
    }
}

#[tokio::test]
async fn another_origin_sees_nothing() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for origin in [
        "https://evil.test",
        "https://pages.test",
        "http://pages.test:8443",
        "https://pages.test:8443.evil.test",
        "null",
    ] {
        let asked = bench.request("OPTIONS", "/api/activities").header(header::ORIGIN, origin);
        let asked = asked.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").send().await.unwrap();
        let given = bench.get("/api/users").header(header::ORIGIN, origin).send().await.unwrap();
        for response in [asked, given] {
            // Where the allowed origin is named instead, a browser takes that as a refusal.
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
async fn the_inspector_has_a_page_of_its_own_and_stays_at_the_root() {
    let read = async |bench: &Bench, path: &str| {
        page(bench.get(path).header(header::ACCEPT, "text/html")).await.text().await.unwrap()
    };
    let bench = Bench::start();
    assert!(read(&bench, "/traces").await.contains("throughline-base"));
    assert!(!read(&bench, "/").await.contains("throughline-base"));
    // Cruddur's page asks at the root.
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(binary())
        .args(["--base-path", "/tl", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--base-path"), "{said}");
}

#[test]
fn help_names_the_program_and_the_settings_of_the_product() {
    let output = std::process::Command::new(binary()).env_clear().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Usage: cruddur") && help.contains("--base-path"), "{help}");
}
