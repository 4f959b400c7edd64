//! Pages, health checks, other origins, and access to the inspector.
//!
//! The inspector's page has to be built into the program (`cargo xtask build`).

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use reqwest::{Response, header};
use throughline_inspector_api::TraceList;

use crate::support::{Bench, Start as _, binary, client, new_span_id, new_trace_id, read, refused, span, traceparent};

const PAGES: &str = "https://pages.test:8443";

fn value(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// Returns the entries of a header that is a list.
fn list(response: &Response, name: &str) -> Vec<String> {
    let value = value(response, name).unwrap_or_else(|| panic!("no {name}"));
    value.split(',').map(|word| word.trim().to_lowercase()).collect()
}

#[tokio::test]
async fn the_server_is_alive_and_ready() {
    let bench = Bench::start();
    for path in ["/livez", "/readyz"] {
        let response = bench.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_health_check_command_reports_whether_a_server_is_running() {
    let mut bench = Bench::start();
    let check = |listen: &str| {
        let mut command = Command::new(binary());
        command.env_clear().env("THROUGHLINE_LISTEN", listen).arg("healthcheck").output().unwrap().status
    };
    let listen = bench.server().addr().to_string();
    assert!(check(&listen).success());
    assert!(bench.stop().success());
    assert!(!check(&listen).success());
}

#[tokio::test]
async fn the_inspectors_page_has_security_headers() {
    let bench = Bench::start();
    let trace = format!("/traces/{}", new_trace_id());
    let mut tags = Vec::new();
    for path in ["/traces", &trace] {
        let response = bench.get(path).header(header::ACCEPT, "text/html").send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}: build the page with `cargo xtask build`");
        assert!(value(&response, "content-type").unwrap().starts_with("text/html"), "{path}");
        assert_eq!(value(&response, "x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(value(&response, "x-frame-options").as_deref(), Some("DENY"));
        assert_eq!(value(&response, "cache-control").as_deref(), Some("no-cache"));
        let policy = value(&response, "content-security-policy").expect("a policy");
        let scripts = policy.split(';').map(str::trim).find(|directive| directive.starts_with("script-src")).unwrap();
        // The hash is that of the script that starts the page.
        assert!(scripts.contains("'sha256-") && !scripts.contains("'unsafe-inline'"), "{policy}");
        assert!(!scripts.contains("'unsafe-eval'"), "{policy}");
        tags.push(value(&response, "etag").expect("a tag"));
    }
    assert_eq!(tags[0], tags[1], "both paths serve the same page");
    let known = bench.get("/traces").header(header::IF_NONE_MATCH, &tags[0]).send().await.unwrap();
    assert_eq!(known.status(), 304);
}

#[tokio::test]
async fn the_files_of_the_inspectors_page_are_immutable() {
    let bench = Bench::start();
    let page = bench.get("/traces").send().await.unwrap().text().await.unwrap();
    let files: Vec<&str> = page.split(['"', '\'']).filter(|text| text.starts_with("/traces/assets/")).collect();
    let mut ends: Vec<&str> = files.iter().filter_map(|file| file.rsplit('.').next()).collect();
    ends.sort_unstable();
    ends.dedup();
    assert_eq!(ends, ["css", "js", "svg", "wasm"], "build the page with `cargo xtask build`: {page}");
    for file in files {
        let response = bench.get(file).send().await.unwrap();
        assert_eq!(response.status(), 200, "{file}");
        let is_immutable = value(&response, "cache-control").unwrap().contains("immutable");
        // The name has a hash of the content.
        assert!(is_immutable, "{file}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let bench = Bench::start();
    for path in ["/no/such/page", "/no-such.wasm", "/no-such.js", "/assets/no-such.css"] {
        for accept in ["application/json", "*/*", "application/wasm"] {
            refused(bench.get(path).header(header::ACCEPT, accept), 404, "no_such_address").await;
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_not_found() {
    let bench = Bench::start();
    for path in ["/traces/assets/page-0123456789abcdef_bg.wasm", "/traces/assets/page-0123456789abcdef.js"] {
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
async fn an_allowed_origin_may_send_context_and_ingest_tokens() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for (method, path) in [("POST", "/v1/traces"), ("POST", "/v1/logs"), ("POST", "/v1/ingest-token")] {
        let request = bench.request("OPTIONS", path).header(header::ORIGIN, PAGES);
        let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, method);
        let requested = "baggage,content-encoding,content-type,traceparent,tracestate,x-throughline-ingest-token";
        let response = request.header(header::ACCESS_CONTROL_REQUEST_HEADERS, requested).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert_eq!(value(&response, "access-control-allow-credentials").as_deref(), Some("true"));
        let allowed = list(&response, "access-control-allow-headers");
        for name in requested.split(',') {
            assert!(allowed.iter().any(|allowed| allowed == name), "{path}: {name} is not in {allowed:?}");
        }
        assert!(list(&response, "access-control-allow-methods").contains(&method.to_lowercase()), "{path}");
    }
}

#[tokio::test]
async fn an_allowed_origin_can_read_responses_and_their_timing() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for path in ["/", "/no/such/page"] {
        let request = bench.get(path).header(header::ORIGIN, PAGES);
        let request = request.header("traceparent", traceparent(&new_trace_id(), &new_span_id()));
        let response = request.send().await.unwrap();
        assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert_eq!(value(&response, "access-control-allow-credentials").as_deref(), Some("true"));
        assert_eq!(value(&response, "timing-allow-origin").as_deref(), Some(PAGES), "{path}");
        assert!(list(&response, "access-control-expose-headers").contains(&"server-timing".to_owned()));
        assert!(list(&response, "vary").contains(&"origin".to_owned()), "caches must vary by origin");
    }
    // The page must be able to read the reason of a rejected batch.
    for path in ["/v1/traces", "/v1/logs"] {
        let rejected = bench.request("POST", path).header(header::ORIGIN, PAGES).send().await.unwrap();
        assert_eq!(rejected.status(), 401);
        assert_eq!(value(&rejected, "access-control-allow-origin").as_deref(), Some(PAGES));
    }
}

#[tokio::test]
async fn another_origin_cannot_read_responses() {
    let bench = Bench::start_with(&[], &[("FRONTEND_URL", PAGES)]);
    for origin in [
        "https://evil.test",
        "https://pages.test",
        "http://pages.test:8443",
        "https://pages.test:8443.evil.test",
        "null",
    ] {
        let preflight = bench.request("OPTIONS", "/v1/traces").header(header::ORIGIN, origin);
        let preflight = preflight.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").send().await.unwrap();
        let response = bench.get("/no/such/page").header(header::ORIGIN, origin).send().await.unwrap();
        for response in [preflight, response] {
            // A header with another origin is a rejection for a browser.
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
            let request = bench.get("/no/such/page").header(header::ORIGIN, origin);
            let request = request.header("traceparent", traceparent(&new_trace_id(), &new_span_id()));
            let response = request.send().await.unwrap();
            assert_eq!(value(&response, "access-control-allow-origin").as_deref(), Some(origin));
            assert!(response.headers().get_all("timing-allow-origin").iter().any(|allowed| allowed == origin));
        }
    }
}

#[tokio::test]
async fn traces_are_open_on_loopback() {
    let bench = Bench::start();
    read::<TraceList>(bench.get("/api/traces")).await;
}

#[tokio::test]
async fn with_an_access_token_traces_can_only_be_read_with_it() {
    let token = "a-token-of-sixteen-and-more";
    let bench = Bench::start_with(&["--inspector-access", "token"], &[("THROUGHLINE_ACCESS_TOKEN", token)]);
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "secret")]).await;
    let (trace, otlp) = (format!("/api/traces/{trace_id}"), format!("/api/traces/{trace_id}/otlp"));
    for path in ["/api/traces", &trace, &otlp, "/api/traces/live"] {
        let mut codes = Vec::new();
        for authorization in ["", "Bearer", "Bearer ", "Bearer a-token-of-sixteen-and-mor", "Basic YTpi", token] {
            let response = bench.get(path).header(header::AUTHORIZATION, authorization).send().await.unwrap();
            assert_eq!(response.status(), 401, "{path} {authorization}");
            let body: throughline_inspector_api::ErrorBody = response.json().await.unwrap();
            codes.push(body.error.code);
        }
        codes.dedup();
        assert_eq!(codes.len(), 1, "{codes:?}");
        assert_eq!(bench.get(path).send().await.unwrap().status(), 401, "{path}");
        let response = bench.get(path).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200, "the health check needs no token");
    assert!(!bench.server().output().contains(token), "a token that is set is not printed");
}

#[tokio::test]
async fn an_access_token_that_is_not_set_is_generated_and_printed() {
    let bench = Bench::start_with(&["--inspector-access", "token"], &[]);
    assert_eq!(bench.get("/api/traces").send().await.unwrap().status(), 401);
    let inspector = &bench.server().addresses().inspector;
    let (_, token) = inspector.split_once("/traces?access_token=").unwrap();
    assert!(token.len() >= 16, "{token}");
    read::<TraceList>(bench.get("/api/traces").bearer_auth(token)).await;
}

/// A server that is killed when it is dropped.
struct Exposed(Child);

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_address_that_is_not_loopback_requires_a_token_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command
        .env_clear()
        .args([
            "--listen=0.0.0.0:0",
            "--otlp-listen=127.0.0.1:0",
            "--grpc-listen=off",
            "--print-addresses=json",
            "--data-dir",
        ])
        .arg(dir.path());
    let mut server = Exposed(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = addresses["listen"].as_str().unwrap().strip_prefix("http://0.0.0.0:").unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let client = client();
    refused(client.get(format!("{base}/api/traces")), 401, "access_token_needed").await;
    assert_eq!(client.get(format!("{base}/readyz")).send().await.unwrap().status(), 200);
}
