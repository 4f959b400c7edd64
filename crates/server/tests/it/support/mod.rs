//! A running server, somebody who asks it, and waiting with a deadline.

mod spans;

pub(crate) use self::spans::{as_json, exception, new_span_id, new_trace_id, now_ns, set, span, text, traceparent};

use std::{
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use cruddur_shared::cruddur::{Activity, ChooseUser, NewActivity};
use reqwest::{Client, Method, RequestBuilder, Response, Url, header};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use throughline_inspector_api::{self as inspector, ErrorBody, ErrorDetail, SpanKind, Trace, TraceList};
use throughline_otlp::{Encoding, Record, encode};
use throughline_testkit::{ServerOptions, ServerProcess};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_throughline"))
}

/// Asks `probe` until it has an answer.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An HTTP client that knows no proxy and keeps no cookies.
pub(crate) fn client() -> Client {
    // The second test of a process finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(DEADLINE).build().unwrap()
}

/// A server with a data directory of its own, and a client.
pub(crate) struct Bench {
    // Declared before the directory, so that the server has ended when the directory goes. Absent only while it is
    // replaced.
    server: Option<ServerProcess>,
    options: ServerOptions,
    client: Client,
    dir: TempDir,
}

impl Bench {
    /// With nothing set but the ports and the directory.
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// With these arguments and environment variables.
    pub(crate) fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let options = ServerOptions {
            args: args.iter().map(|&argument| argument.to_owned()).collect(),
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            clock_off: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(binary(), dir.path(), &options).unwrap();
        Self { server: Some(server), options, client: client(), dir }
    }

    /// Stops the server as an operator does, and starts it again over the same data.
    pub(crate) fn restart(&mut self) -> ExitStatus {
        let status = self.stop();
        self.start_again();
        status
    }

    /// Stops the server as an operator does.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.server.take().unwrap().stop().unwrap()
    }

    /// What the server is told at its next start.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.options.env.retain(|(other, _)| other != name);
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Takes the process away without a word (SIGKILL, when it is dropped), and starts it again over the same data.
    pub(crate) fn kill_and_restart(&mut self) {
        self.server = None;
        self.start_again();
    }

    /// Starts it again after a [`Bench::stop`].
    pub(crate) fn restart_stopped(&mut self) {
        self.start_again();
    }

    fn start_again(&mut self) {
        self.server = Some(ServerProcess::start(binary(), self.dir.path(), &self.options).unwrap());
    }

    pub(crate) fn server(&self) -> &ServerProcess {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// An address of the public port.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server().base())
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request("GET", path)
    }

    /// With a query whose values are encoded as they must be.
    pub(crate) fn get_with(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.client.get(Url::parse_with_params(&self.url(path), query).unwrap())
    }

    /// A `POST` to the trusted door.
    pub(crate) fn trusted(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.server().trusted_base()))
    }

    /// What `GET` answers, which must be a success.
    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.get(path)).await
    }

    /// Chooses who one is; the cookie that says so.
    pub(crate) async fn sign_in(&self, handle: &str) -> String {
        let choice = ChooseUser { handle: handle.to_owned() };
        let response = self.request("PUT", "/api/session").json(&choice).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Writes a crud.
    pub(crate) async fn crud(&self, cookie: &str, message: &str) -> Activity {
        let new = NewActivity { message: message.to_owned(), ttl: Default::default() };
        read(self.request("POST", "/api/activities").header(header::COOKIE, cookie).json(&new)).await
    }

    /// Puts spans or log records through the trusted door.
    pub(crate) async fn store<R: Record>(&self, records: &[R]) {
        let request = self.trusted(R::SIGNAL.path()).header(header::CONTENT_TYPE, Encoding::Protobuf.content_type());
        let response = request.body(encode(records, Encoding::Protobuf)).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// The trace, where any of it has arrived.
    pub(crate) async fn find_trace(&self, trace_id: &str) -> Option<Trace> {
        let response = self.get(&format!("/api/traces/{trace_id}")).send().await.unwrap();
        if response.status() == 404 {
            return None;
        }
        assert_eq!(response.status(), 200);
        Some(response.json().await.unwrap())
    }

    /// The trace, once it has this many spans.
    pub(crate) async fn trace(&self, trace_id: &str, spans: usize) -> Trace {
        let what = format!("{spans} spans of trace {trace_id}");
        eventually(&what, async || self.find_trace(trace_id).await.filter(|trace| trace.spans.len() >= spans)).await
    }

    /// The server span of a trace, once it has arrived.
    pub(crate) async fn server_span(&self, trace_id: &str) -> inspector::Span {
        eventually(&format!("the server span of trace {trace_id}"), async || {
            let spans = self.find_trace(trace_id).await?.spans;
            spans.into_iter().find(|span| span.kind == SpanKind::Server)
        })
        .await
    }

    /// The list of traces with this query.
    pub(crate) async fn list(&self, query: &[(&str, &str)]) -> TraceList {
        read(self.get_with("/api/traces", query)).await
    }
}

/// The body of the answer, which must be a success.
pub(crate) async fn read<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Sends a request that must be refused with this status and code; what the body says.
pub(crate) async fn refused(request: RequestBuilder, status: u16, code: &str) -> ErrorDetail {
    refusal(request.send().await.unwrap(), status, code).await
}

/// Checks that a response is a refusal with this status and code; what the body says.
pub(crate) async fn refusal(response: Response, status: u16, code: &str) -> ErrorDetail {
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

/// What a `Server-Timing` metric describes.
pub(crate) fn metric(headers: &header::HeaderMap, name: &str) -> Option<String> {
    let metrics = headers.get_all("server-timing").into_iter().flat_map(|value| value.to_str().unwrap().split(", "));
    metrics
        .filter_map(|metric| metric.split_once(";desc="))
        .find_map(|(key, description)| (key == name).then(|| description.trim_matches('"').to_owned()))
}

/// Whether this is so many lower-case hex digits, not all zero.
pub(crate) fn is_hex(digits: &str, length: usize) -> bool {
    digits.len() == length
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && digits.bytes().any(|byte| byte != b'0')
}
