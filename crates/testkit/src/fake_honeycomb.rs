//! An OTLP upstream that is as strict as Honeycomb, keeps the records it receives, and misbehaves on request.

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    collections::HashSet,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use throughline_otlp::{
    DataPoint, Encoding, KeyValue, LogRecord, Record, RpcCode, Signal, Span, Value, decode, encode, encode_record,
    encode_response, encode_status,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// The header that carries the API key.
const KEY_HEADER: &str = "x-honeycomb-team";
const MAX_BODY_BYTES: usize = 15 * 1024 * 1024;
const MAX_EVENT_BYTES: usize = 1024 * 1024;
const MAX_FIELDS: usize = 2000;
const MAX_STRING_BYTES: usize = 64 * 1024;

/// The fake's reaction to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Validates it, keeps its records and responds with success.
    #[default]
    Ok,
    /// Responds with this status and, if given, `Retry-After` in seconds; keeps nothing.
    Status(u16, Option<u64>),
    /// Responds with 200 and an HTML page; keeps nothing.
    Garbage,
    /// Does the same as [`Behaviour::Ok`] after this time.
    Slow(Duration),
    /// Keeps the records, then breaks the connection in the middle of the response.
    CutMidway,
    /// Keeps all records but reports this number of them as rejected (partial success).
    Partial(u64),
}

/// One received request.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The signal of its path.
    pub signal: Signal,
    /// Every header.
    pub headers: HeaderMap,
    /// The size of the body on the wire.
    pub body_bytes: usize,
    /// The status of the response.
    pub status: u16,
}

#[derive(Debug, Default)]
struct Kept {
    behaviour: Behaviour,
    /// Applies to log records instead, if set.
    logs_behaviour: Option<Behaviour>,
    /// Applies to data points instead, if set.
    metrics_behaviour: Option<Behaviour>,
    key: String,
    spans: Vec<Span>,
    distinct: HashSet<([u8; 16], [u8; 8])>,
    logs: Vec<LogRecord>,
    /// Log records are distinguished by their encoding, as they have no id.
    distinct_logs: HashSet<Vec<u8>>,
    data_points: Vec<DataPoint>,
    distinct_data_points: HashSet<Vec<u8>>,
    requests: Vec<RecordedRequest>,
}

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Notify,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change is one push: a panic elsewhere leaves nothing inconsistent.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server on 127.0.0.1 that accepts `POST /v1/traces`, `POST /v1/logs` and `POST /v1/metrics`. It stops when dropped.
#[derive(Debug)]
pub struct FakeHoneycomb {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl FakeHoneycomb {
    /// Starts it on a free port; requests must carry `key` in `x-honeycomb-team`.
    ///
    /// # Errors
    /// Returns an error if it cannot listen.
    pub async fn start(key: &str) -> anyhow::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), key).await
    }

    /// Starts it on this address: an upstream that is available again at the same address.
    ///
    /// # Errors
    /// Returns an error if the address is in use.
    pub async fn start_on(addr: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        key.clone_into(&mut shared.kept().key);
        let router = Router::new()
            .route(Signal::Traces.path(), post(receive::<Span>))
            .route(Signal::Logs.path(), post(receive::<LogRecord>))
            .route(Signal::Metrics.path(), post(receive::<DataPoint>))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the fake upstream ended");
            }
        });
        Ok(Self { addr, shared, server })
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns its URL without a path, as for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sets the behaviour from the next request on.
    pub fn set_response(&self, behaviour: Behaviour) {
        self.shared.kept().behaviour = behaviour;
    }

    /// Sets the behaviour for log records from the next request on, in place of the general one.
    pub fn set_logs_response(&self, behaviour: Behaviour) {
        self.shared.kept().logs_behaviour = Some(behaviour);
    }

    /// Sets the behaviour for data points from the next request on, in place of the general one.
    pub fn set_metrics_response(&self, behaviour: Behaviour) {
        self.shared.kept().metrics_behaviour = Some(behaviour);
    }

    /// Sets the key that is valid from the next request on.
    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut self.shared.kept().key);
    }

    /// Returns every span that was kept, in order of arrival, duplicates included.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.shared.kept().spans.clone()
    }

    /// Returns every log record that was kept, in order of arrival, duplicates included.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.shared.kept().logs.clone()
    }

    /// Returns every data point that was kept, in order of arrival, duplicates included.
    #[must_use]
    pub fn data_points(&self) -> Vec<DataPoint> {
        self.shared.kept().data_points.clone()
    }

    /// Returns every received request, including rejected ones.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.kept().requests.clone()
    }

    /// Waits until `count` distinct spans have been kept.
    ///
    /// # Errors
    /// Returns an error with the numbers received if they do not arrive within `timeout`.
    pub async fn wait_for(&self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        self.wait_until(timeout, |kept| kept.distinct.len() >= count).await
    }

    /// Waits until `count` distinct log records have been kept.
    ///
    /// # Errors
    /// Returns an error with the numbers received if they do not arrive within `timeout`.
    pub async fn wait_for_logs(&self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        self.wait_until(timeout, |kept| kept.distinct_logs.len() >= count).await
    }

    /// Waits until `count` distinct data points have been kept.
    ///
    /// # Errors
    /// Returns an error with the numbers received if they do not arrive within `timeout`.
    pub async fn wait_for_data_points(&self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        self.wait_until(timeout, |kept| kept.distinct_data_points.len() >= count).await
    }

    /// Waits until `count` requests have been received, including rejected ones.
    ///
    /// # Errors
    /// Returns an error with the numbers received if they do not arrive within `timeout`.
    pub async fn wait_for_requests(&self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        self.wait_until(timeout, |kept| kept.requests.len() >= count).await
    }

    async fn wait_until(&self, timeout: Duration, done: impl Fn(&Kept) -> bool) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(timeout, async {
            loop {
                // Registered before the check, so that a change in between is not missed.
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if done(&self.shared.kept()) {
                    return;
                }
                changed.await;
            }
        });
        if waited.await.is_err() {
            let kept = self.shared.kept();
            anyhow::bail!(
                "after {timeout:?} the fake upstream has {} distinct spans, {} log records and {} data points from {} requests",
                kept.distinct.len(),
                kept.distinct_logs.len(),
                kept.distinct_data_points.len(),
                kept.requests.len()
            );
        }
        Ok(())
    }
}

impl Drop for FakeHoneycomb {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A kind of record that the fake keeps.
trait Keep: Record {
    fn keep(self, kept: &mut Kept);

    fn behaviour(kept: &Kept) -> Behaviour;
}

impl Keep for Span {
    fn keep(self, kept: &mut Kept) {
        kept.distinct.insert((self.trace_id.to_bytes(), self.span_id.to_bytes()));
        kept.spans.push(self);
    }

    fn behaviour(kept: &Kept) -> Behaviour {
        kept.behaviour.clone()
    }
}

impl Keep for LogRecord {
    fn keep(self, kept: &mut Kept) {
        kept.distinct_logs.insert(encode_record(&self));
        kept.logs.push(self);
    }

    fn behaviour(kept: &Kept) -> Behaviour {
        kept.logs_behaviour.clone().unwrap_or_else(|| kept.behaviour.clone())
    }
}

impl Keep for DataPoint {
    fn keep(self, kept: &mut Kept) {
        kept.distinct_data_points.insert(encode_record(&self));
        kept.data_points.push(self);
    }

    fn behaviour(kept: &Kept) -> Behaviour {
        kept.metrics_behaviour.clone().unwrap_or_else(|| kept.behaviour.clone())
    }
}

async fn receive<R: Keep>(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let behaviour = R::behaviour(&shared.kept());
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
    if let Behaviour::Slow(delay) = behaviour {
        tokio::time::sleep(delay).await;
    }
    let body_bytes = body.as_ref().map_or(0, Bytes::len);
    let response = respond::<R>(&shared, &behaviour, &parts.headers, body.ok());
    let status = response.status().as_u16();
    shared.kept().requests.push(RecordedRequest { signal: R::SIGNAL, headers: parts.headers, body_bytes, status });
    shared.changed.notify_waiters();
    response
}

fn respond<R: Keep>(shared: &Shared, behaviour: &Behaviour, headers: &HeaderMap, body: Option<Bytes>) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(encoding) = content_type.and_then(Encoding::from_content_type) else {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported content type").into_response();
    };
    let rejected = match *behaviour {
        Behaviour::Status(status, retry_after) => return status_response(status, retry_after, encoding),
        Behaviour::Garbage => {
            let html = [(header::CONTENT_TYPE, "text/html")];
            return (html, "<!doctype html><title>Welcome to the hotel's network</title>").into_response();
        }
        Behaviour::Partial(rejected) => rejected,
        Behaviour::Ok | Behaviour::Slow(_) | Behaviour::CutMidway => 0,
    };
    if headers.get(KEY_HEADER).map(HeaderValue::as_bytes) != Some(shared.kept().key.as_bytes()) {
        let message = "unknown API key - check your credentials, region, and API URL";
        return reply(401, encode_status(RpcCode::Unauthenticated, message, encoding), encoding);
    }
    let Some(body) = body else {
        let message = "request body is too large";
        return reply(413, encode_status(RpcCode::InvalidArgument, message, encoding), encoding);
    };
    let records: Vec<R> = match read(headers, &body, encoding) {
        Ok(records) => records,
        Err(message) => return reply(400, encode_status(RpcCode::InvalidArgument, &message, encoding), encoding),
    };
    let mut kept = shared.kept();
    for record in records {
        record.keep(&mut kept);
    }
    drop(kept);
    if *behaviour == Behaviour::CutMidway {
        return Response::new(Body::new(Cut { half: Some(Bytes::from_static(b"\x0a")) }));
    }
    let body = match rejected {
        0 => encode_response(R::SIGNAL, &[], encoding),
        rejected => partial_success(R::SIGNAL, rejected, encoding),
    };
    reply(200, body, encoding)
}

/// Decodes and validates the records of a body.
fn read<R: Record>(headers: &HeaderMap, body: &Bytes, encoding: Encoding) -> Result<Vec<R>, String> {
    let body = match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => body.to_vec(),
        Some(b"gzip") => {
            let mut inflated = Vec::new();
            let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
            GzDecoder::new(body.as_ref())
                .take(limit)
                .read_to_end(&mut inflated)
                .map_err(|error| format!("bad gzip: {error}"))?;
            inflated
        }
        Some(_) => return Err("unsupported content encoding".to_owned()),
    };
    if body.len() > MAX_BODY_BYTES {
        return Err("request body is too large".to_owned());
    }
    let decoded = decode::<R>(&body, encoding).map_err(|error| error.to_string())?;
    if !decoded.rejections.is_empty() {
        return Err(format!("{} {}s with bad ids", decoded.rejections.len(), R::SIGNAL.record()));
    }
    for record in &decoded.records {
        check(record)?;
    }
    Ok(decoded.records)
}

fn check<R: Record>(record: &R) -> Result<(), String> {
    let what = format!("{} {:?}", R::SIGNAL.record(), record.title());
    let event_bytes = encode(std::slice::from_ref(record), Encoding::Protobuf).len();
    if event_bytes >= MAX_EVENT_BYTES {
        return Err(format!("{what}: event of {event_bytes} bytes is too large"));
    }
    let (resource, scope) = record.source();
    let attributes = || record.attributes().iter().chain(&resource.attributes).chain(&scope.attributes);
    let fields = attributes().count();
    if fields > MAX_FIELDS {
        return Err(format!("{what}: more than {MAX_FIELDS} fields: {fields}"));
    }
    let long = |attribute: &&KeyValue| matches!(&attribute.value, Value::String(text) if text.len() > MAX_STRING_BYTES);
    if let Some(attribute) = attributes().find(long) {
        return Err(format!("{what}: value of {} is too long", attribute.key));
    }
    Ok(())
}

fn reply(status: u16, body: Vec<u8>, encoding: Encoding) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response()
}

fn status_response(status: u16, retry_after: Option<u64>, encoding: Encoding) -> Response {
    let code = match status {
        401 | 403 => RpcCode::Unauthenticated,
        429 => RpcCode::ResourceExhausted,
        400..=499 => RpcCode::InvalidArgument,
        _ => RpcCode::Unavailable,
    };
    let mut response = reply(status, encode_status(code, "requested by the test", encoding), encoding);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Encodes a response with a number of rejected records below 128, which is one byte on the wire.
fn partial_success(signal: Signal, rejected: u64, encoding: Encoding) -> Vec<u8> {
    let field = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    match encoding {
        Encoding::Protobuf => vec![0x0a, 2, 0x08, u8::try_from(rejected).unwrap_or(0x7f) & 0x7f],
        Encoding::Json => format!(r#"{{"partialSuccess":{{"{field}":"{rejected}"}}}}"#).into_bytes(),
    }
}

/// A body that fails after its first bytes.
struct Cut {
    half: Option<Bytes>,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(match self.half.take() {
            Some(bytes) => Ok(http_body::Frame::data(bytes)),
            None => Err(std::io::ErrorKind::ConnectionReset.into()),
        }))
    }
}
