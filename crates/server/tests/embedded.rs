//! Throughline embedded in another application: `throughline::init()`, a layer, and the inspector's routes.
//!
//! A process has one tracer provider, so that each application is a separate process: this test program starts itself with
//! [`APPLICATION`] set, which runs the application in the test [`application`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead as _, BufReader, Lines, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use axum::{Router, routing::get};
use reqwest::header;
use throughline_inspector_api::{SpanKind, Trace, TraceList};
use throughline_testkit::bench::{
    as_json, client, eventually, new_span_id, new_trace_id, read, refused, text, traceparent,
};
use tokio::net::TcpListener;

/// The variable that is set in a process of the application: with `local`, it knows the addresses of its clients.
const APPLICATION: &str = "TEST_APPLICATION";
const TOKEN: &str = "0123456789abcdef";

/// Runs the application if [`APPLICATION`] is set, until its standard input is closed.
#[test]
fn application() {
    let Ok(kind) = std::env::var(APPLICATION) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(serve(kind == "local"));
}

async fn serve(knows_clients: bool) {
    let telemetry = throughline::init().unwrap();
    let inspector = match telemetry.inspector() {
        Ok(inspector) => inspector,
        Err(error) => {
            println!("\nerror {error}");
            return;
        }
    };
    println!("\nagain {}", telemetry.inspector().unwrap_err());
    let app = Router::new().route("/notes/{id}", get(|| async { "a note" })).layer(telemetry.layer()).merge(inspector);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("address http://{}", listener.local_addr().unwrap());
    let end = async {
        let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        read.await.unwrap().unwrap();
    };
    if knows_clients {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).with_graceful_shutdown(end).await.unwrap();
    } else {
        axum::serve(listener, app).with_graceful_shutdown(end).await.unwrap();
    }
}

/// The application as a child process.
struct Application {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Application {
    fn start(kind: &str, data_dir: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "application", "--nocapture"])
            .env_clear()
            .env(APPLICATION, kind)
            .env("OTEL_SERVICE_NAME", "notes")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("RUST_LOG", "warn")
            .env("THROUGHLINE_DATA_DIR", data_dir)
            .env("THROUGHLINE_OTLP_LISTEN", "127.0.0.1:0")
            .env("THROUGHLINE_GRPC_LISTEN", "off")
            .envs(env.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// Returns the rest of the next line of output that starts with `name`.
    fn line(&mut self, name: &str) -> String {
        let mut output = String::new();
        for line in self.lines.by_ref().map(Result::unwrap) {
            if let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')) {
                return rest.to_owned();
            }
            output.push_str(&line);
            output.push('\n');
        }
        panic!("the application exited without `{name}`: {output}")
    }

    /// Closes the standard input, and checks that the application exits with success.
    fn stop(mut self) {
        drop(self.stdin.take());
        self.lines.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // best effort: this fails if the test has already stopped the application.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests a note as part of a new trace, and returns the ids of the trace and of the client span.
async fn request_note(base: &str) -> (String, String) {
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    let request = client().get(format!("{base}/notes/7")).header("traceparent", traceparent(&trace_id, &span_id));
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "a note");
    (trace_id, span_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_span_in_the_inspector_on_the_same_port() {
    let dir = tempfile::tempdir().unwrap();
    let mut application = Application::start("local", dir.path(), &[]);
    let base = application.line("address");
    let (trace_id, caller) = request_note(&base).await;
    let trace = eventually("the trace", async || {
        let response = client().get(format!("{base}/api/traces/{trace_id}")).send().await.unwrap();
        (response.status() == 200).then_some(response)
    });
    let trace: Trace = trace.await.json().await.unwrap();
    let [server] = trace.spans.as_slice() else { panic!("{trace:?}") };
    assert_eq!((server.name.as_str(), server.service.as_str()), ("GET /notes/{id}", "notes"));
    assert_eq!((server.kind, server.parent_span_id.as_ref()), (SpanKind::Server, Some(&caller)));
    // Requests to the inspector are not traced.
    let list: TraceList = read(client().get(format!("{base}/api/traces"))).await;
    assert_eq!(list.traces.iter().map(|trace| trace.trace_id.as_str()).collect::<Vec<_>>(), [trace_id.as_str()]);
    let page = client().get(format!("{base}/traces")).send().await.unwrap();
    assert_eq!(page.status(), 200, "build the page with `cargo xtask build`");

    // A page of the application sends its records to the same port.
    let issued: serde_json::Value = read(client().post(format!("{base}/v1/ingest-token"))).await;
    let batch = client().post(format!("{base}/v1/traces")).header(header::CONTENT_TYPE, "application/json");
    let batch = batch.header("x-throughline-ingest-token", issued["ingest_token"].as_str().unwrap());
    let batch = batch.body(as_json(&[(&trace_id, &caller, "GET")]));
    assert_eq!(batch.send().await.unwrap().status(), 200);
    let trace: Trace = read(client().get(format!("{base}/api/traces/{trace_id}"))).await;
    let page = trace.spans.iter().find(|span| span.span_id == caller).unwrap();
    assert_eq!(page.service, "notes-web");
    assert_eq!(text(&page.attributes, "client.address").as_deref(), Some("127.0.0.1"));
    application.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_stored_when_the_telemetry_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    // No span is sent before the shutdown.
    let slow = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let mut application = Application::start("local", dir.path(), &slow);
    let base = application.line("address");
    let (trace_id, _) = request_note(&base).await;
    application.stop();
    let mut application = Application::start("local", dir.path(), &slow);
    let base = application.line("address");
    let trace: Trace = read(client().get(format!("{base}/api/traces/{trace_id}"))).await;
    assert_eq!(trace.spans.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_addresses_of_clients_the_access_token_is_required() {
    let dir = tempfile::tempdir().unwrap();
    let token = [("THROUGHLINE_ACCESS_TOKEN", TOKEN)];
    let mut application = Application::start("unknown", dir.path(), &token);
    let base = application.line("address");
    let list = || client().get(format!("{base}/api/traces"));
    refused(list(), 401, "access_token_needed").await;
    refused(list().bearer_auth("0123456789abcdeF"), 401, "access_token_needed").await;
    read::<TraceList>(list().bearer_auth(TOKEN)).await;
    let enter = client().get(format!("{base}/traces?access_token={TOKEN}")).send().await.unwrap();
    assert_eq!((enter.status().as_u16(), &enter.headers()[header::LOCATION]), (303, &"/traces".parse().unwrap()));
}

#[test]
fn a_second_inspector_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let again = Application::start("local", dir.path(), &[]).line("again");
    assert!(again.contains("already part of the application"), "{again}");
}

#[test]
fn an_invalid_setting_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    for (variable, value) in [
        ("THROUGHLINE_OTLP_LISTEN", "nonsense"),
        ("THROUGHLINE_BASE_PATH", "tl"),
        ("THROUGHLINE_ACCESS_TOKEN", "short"),
    ] {
        let error = Application::start("local", &data_dir, &[(variable, value)]).line("error");
        assert!(error.contains("invalid setting") && error.contains(variable), "{error}");
    }
    assert!(!data_dir.exists(), "the data directory was created");
}

#[test]
fn a_data_directory_that_is_in_use_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Application::start("local", dir.path(), &[]);
    first.line("address");
    let error = Application::start("local", dir.path(), &[]).line("error");
    assert!(error.contains("another instance uses the data directory"), "{error}");
}
