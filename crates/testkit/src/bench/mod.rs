//! A running server with a client, made-up telemetry to send to it, and waiting with a deadline.
//!
//! A crate's tests add a trait that starts the program of that crate: [`Bench::start_program`] with
//! `env!("CARGO_BIN_EXE_…")`. Everything here panics where a test has to fail.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Calls `probe` until it returns a value.
///
/// # Panics
/// It returns none within [`DEADLINE`]; the message has `what`.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An HTTP client that uses no proxy, follows no redirect and keeps no cookies.
#[must_use]
pub fn client() -> Client {
    // best effort: the second test of a process finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(DEADLINE).build().unwrap()
}

/// A server with a data directory of its own, and a client.
#[derive(Debug)]
pub struct Bench {
    // Declared before the directory, so that the server has ended when the directory goes. Absent only while it is
    // replaced.
    server: Option<ServerProcess>,
    binary: PathBuf,
    options: ServerOptions,
    client: Client,
    dir: TempDir,
}

impl Bench {
    /// Starts the program `binary` with these arguments and environment variables, besides ports and a data directory of its
    /// own.
    #[must_use]
    pub fn start_program(binary: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let options = ServerOptions {
            args: args.iter().map(|&argument| argument.to_owned()).collect(),
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            clock_off: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(binary, dir.path(), &options).unwrap();
        Self { server: Some(server), binary: binary.to_owned(), options, client: client(), dir }
    }

    /// Stops the server as an operator does, and starts it again over the same data.
    pub fn restart(&mut self) -> ExitStatus {
        let status = self.stop();
        self.start_again();
        status
    }

    /// Stops the server as an operator does.
    pub fn stop(&mut self) -> ExitStatus {
        self.server.take().unwrap().stop().unwrap()
    }

    /// Sets an environment variable for the next start of the server.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.options.env.retain(|(other, _)| other != name);
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Kills the process (SIGKILL), and starts the server again over the same data.
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

    /// The running server.
    ///
    /// # Panics
    /// It was stopped.
    #[must_use]
    pub fn server(&self) -> &ServerProcess {
        self.server.as_ref().unwrap()
    }

    /// The data directory of the server.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// A URL at the address of the pages.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server().base())
    }

    /// A request to the address of the pages.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path))
    }

    /// A `GET` request to the address of the pages.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request("GET", path)
    }

    /// A `GET` request with a query, whose values are encoded as they must be.
    pub fn get_with(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.client.get(Url::parse_with_params(&self.url(path), query).unwrap())
    }

    /// A `POST` request to the OTLP/HTTP receiver for programs.
    pub fn trusted(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.server().otlp_base()))
    }

    /// The body of the response to a `GET` request, which has to be a success.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.get(path)).await
    }

    /// Sends spans, log records or data points to the receiver for programs.
    pub async fn store<R: Record>(&self, records: &[R]) {
        let request = self.trusted(R::SIGNAL.path()).header(header::CONTENT_TYPE, Encoding::Protobuf.content_type());
        let response = request.body(encode(records, Encoding::Protobuf)).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// The trace, if any of its spans has arrived.
    pub async fn find_trace(&self, trace_id: &str) -> Option<Trace> {
        let response = self.get(&format!("/api/traces/{trace_id}")).send().await.unwrap();
        if response.status() == 404 {
            return None;
        }
        assert_eq!(response.status(), 200);
        Some(response.json().await.unwrap())
    }

    /// The trace, once it has this many spans.
    pub async fn trace(&self, trace_id: &str, spans: usize) -> Trace {
        let what = format!("{spans} spans of trace {trace_id}");
        eventually(&what, async || self.find_trace(trace_id).await.filter(|trace| trace.spans.len() >= spans)).await
    }

    /// The server span of a trace, once it has arrived.
    pub async fn server_span(&self, trace_id: &str) -> inspector::Span {
        eventually(&format!("the server span of trace {trace_id}"), async || {
            let spans = self.find_trace(trace_id).await?.spans;
            spans.into_iter().find(|span| span.kind == SpanKind::Server)
        })
        .await
    }

    /// The list of traces for this query.
    pub async fn list(&self, query: &[(&str, &str)]) -> TraceList {
        read(self.get_with("/api/traces", query)).await
    }
}

/// The body of the response, which has to be a success.
pub async fn read<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Sends a request that has to be refused with this status and code; the error in the body.
pub async fn refused(request: RequestBuilder, status: u16, code: &str) -> ErrorDetail {
    refusal(request.send().await.unwrap(), status, code).await
}

/// Checks that a response is a refusal with this status and code; the error in the body.
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
        let context = metric(&headers, "traceparent").expect("a traced response has its context");
        assert!(context.contains(trace_id.as_str()), "the body names {trace_id}, the header {context}");
    }
    error
}

/// The description of a `Server-Timing` metric.
#[must_use]
pub fn metric(headers: &header::HeaderMap, name: &str) -> Option<String> {
    let metrics = headers.get_all("server-timing").into_iter().flat_map(|value| value.to_str().unwrap().split(", "));
    metrics
        .filter_map(|metric| metric.split_once(";desc="))
        .find_map(|(key, description)| (key == name).then(|| description.trim_matches('"').to_owned()))
}

/// Whether a text is `length` lower-case hex digits, not all zero.
#[must_use]
pub fn is_hex(digits: &str, length: usize) -> bool {
    digits.len() == length
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && digits.bytes().any(|byte| byte != b'0')
}

/// A body, compressed by gzip.
#[must_use]
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}
