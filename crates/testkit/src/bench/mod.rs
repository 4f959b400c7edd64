//! A running server with a client, synthetic telemetry to send to it, and waiting with a deadline.
//!
//! A crate's tests add a trait that starts the program of that crate: [`Bench::start_program`] with
//! `env!("CARGO_BIN_EXE_…")`. On failure, everything here panics, so that the test fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod spans;

pub use self::spans::{as_json, exception, new_span_id, new_trace_id, now_ns, set, span, text, traceparent};

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::{Client, Method, RequestBuilder, Response, Url, header, redirect};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use throughline_inspector_api::{self as inspector, ErrorBody, ErrorDetail, SpanKind, Trace, TraceList};
use throughline_otlp::{Encoding, Record, encode};

use crate::{ServerOptions, ServerProcess};

/// The longest time to wait before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Calls `probe` until it returns a value.
///
/// # Panics
/// Panics if it returns none within [`DEADLINE`]; the message contains `what`.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "timed out after {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns an HTTP client that uses no proxy, follows no redirect and keeps no cookies.
#[must_use]
pub fn client() -> Client {
    // best effort: the second test of a process finds the provider already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(DEADLINE).build().unwrap()
}

/// A running server with its own data directory, and an HTTP client.
#[derive(Debug)]
pub struct Bench {
    // Declared before the directory, so that the server has exited when the directory is removed. `None` only while
    // the server is stopped.
    server: Option<ServerProcess>,
    binary: PathBuf,
    options: ServerOptions,
    client: Client,
    dir: TempDir,
}

impl Bench {
    /// Starts the program `binary` on free ports and with a new data directory, with these additional arguments and
    /// environment variables.
    #[must_use]
    pub fn start_program(binary: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let options = ServerOptions {
            args: args.iter().map(|&argument| argument.to_owned()).collect(),
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            clock_skew: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(binary, dir.path(), &options).unwrap();
        Self { server: Some(server), binary: binary.to_owned(), options, client: client(), dir }
    }

    /// Stops the server with SIGTERM, and starts it again with the same data.
    pub fn restart(&mut self) -> ExitStatus {
        let status = self.stop();
        self.start_again();
        status
    }

    /// Stops the server with SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.server.take().unwrap().stop().unwrap()
    }

    /// Sets an environment variable for the next start of the server.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.options.env.retain(|(other, _)| other != name);
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Kills the process (SIGKILL), and starts the server again with the same data.
    pub fn kill_and_restart(&mut self) {
        self.server = None;
        self.start_again();
    }

    /// Starts the server again after a [`Bench::stop`].
    pub fn restart_stopped(&mut self) {
        self.start_again();
    }

    fn start_again(&mut self) {
        self.server = Some(ServerProcess::start(&self.binary, self.dir.path(), &self.options).unwrap());
    }

    /// Returns the running server.
    ///
    /// # Panics
    /// Panics if it was stopped.
    #[must_use]
    pub fn server(&self) -> &ServerProcess {
        self.server.as_ref().unwrap()
    }

    /// Returns the data directory of the server.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the URL of `path` at the address of the pages.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server().base())
    }

    /// Returns a request to the address of the pages.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path))
    }

    /// Returns a `GET` request to the address of the pages.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request("GET", path)
    }

    /// Returns a `GET` request with a query, whose values are percent-encoded.
    pub fn get_with(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.client.get(Url::parse_with_params(&self.url(path), query).unwrap())
    }

    /// Returns a `POST` request to the OTLP/HTTP receiver for programs.
    pub fn trusted(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.server().otlp_base()))
    }

    /// Sends a `GET` request and returns the body of the response, which must be a success.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.get(path)).await
    }

    /// Sends spans, log records or data points to the receiver for programs.
    pub async fn store<R: Record>(&self, records: &[R]) {
        let request = self.trusted(R::SIGNAL.path()).header(header::CONTENT_TYPE, Encoding::Protobuf.content_type());
        let response = request.body(encode(records, Encoding::Protobuf)).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// Returns the trace, if any of its spans has arrived.
    pub async fn find_trace(&self, trace_id: &str) -> Option<Trace> {
        let response = self.get(&format!("/api/traces/{trace_id}")).send().await.unwrap();
        if response.status() == 404 {
            return None;
        }
        assert_eq!(response.status(), 200);
        Some(response.json().await.unwrap())
    }

    /// Waits until the trace has at least this number of spans, and returns it.
    pub async fn trace(&self, trace_id: &str, spans: usize) -> Trace {
        let what = format!("{spans} spans of trace {trace_id}");
        eventually(&what, async || self.find_trace(trace_id).await.filter(|trace| trace.spans.len() >= spans)).await
    }

    /// Waits until the server span of a trace has arrived, and returns it.
    pub async fn server_span(&self, trace_id: &str) -> inspector::Span {
        eventually(&format!("the server span of trace {trace_id}"), async || {
            let spans = self.find_trace(trace_id).await?.spans;
            spans.into_iter().find(|span| span.kind == SpanKind::Server)
        })
        .await
    }

    /// Returns the list of traces for this query.
    pub async fn list(&self, query: &[(&str, &str)]) -> TraceList {
        read(self.get_with("/api/traces", query)).await
    }
}

/// Sends a request and returns the body of the response, which must be a success.
pub async fn read<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Sends a request that must be rejected with this status and code, and returns the error in the body.
pub async fn refused(request: RequestBuilder, status: u16, code: &str) -> ErrorDetail {
    refusal(request.send().await.unwrap(), status, code).await
}

/// Checks that a response is a rejection with this status and code, and returns the error in the body.
pub async fn refusal(response: Response, status: u16, code: &str) -> ErrorDetail {
    let (given, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.unwrap();
    assert_eq!(given, status, "{body}");
    assert_eq!(headers[header::CONTENT_TYPE], "application/json", "{body}");
    let ErrorBody { error } = serde_json::from_str(&body).unwrap();
    assert_eq!(error.code, code, "{body}");
    assert!(error.message.trim().contains(' '), "not a sentence: {body}");
    if let Some(trace_id) = &error.trace_id {
        assert!(is_hex(trace_id, 32), "{body}");
        let context = metric(&headers, "traceparent").expect("a traced response has a `traceparent` metric");
        assert!(context.contains(trace_id.as_str()), "the body names {trace_id}, the header {context}");
    }
    error
}

/// Returns the description of a `Server-Timing` metric.
#[must_use]
pub fn metric(headers: &header::HeaderMap, name: &str) -> Option<String> {
    let metrics = headers.get_all("server-timing").into_iter().flat_map(|value| value.to_str().unwrap().split(", "));
    metrics
        .filter_map(|metric| metric.split_once(";desc="))
        .find_map(|(key, description)| (key == name).then(|| description.trim_matches('"').to_owned()))
}

/// Returns whether a string is `length` lower-case hex digits, not all zero.
#[must_use]
pub fn is_hex(digits: &str, length: usize) -> bool {
    digits.len() == length
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && digits.bytes().any(|byte| byte != b'0')
}

/// Compresses a body with gzip.
#[must_use]
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}
