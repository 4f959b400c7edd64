//! The HTTP receivers.

use crate::{
    IngestTokenError, IngestTokenKeys, IntakeConfig, SessionId, Stats,
    body::{self, Buffered, Memory},
    config::BodyLimits,
    decode::{self, Batch},
    enrich::Enrichment,
    grpc,
    item::{FromBrowser, Item, Stores},
    origin::AllowedOrigins,
    rate::{RateLimiter, Sender},
    redact::Redactor,
    refusal::Refusal,
    session::SessionIdError,
    stats::Counters,
};
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, Uri, header, request::Parts};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use throughline_context::ingest_token;
use throughline_otlp::{DataPoint, Encoding, LogRecord, Signal, Span, encode_response};
use throughline_store::{Appended, Store};
use tokio::sync::Semaphore;

/// The header in which a browser sends its ingest token. Where headers cannot be set (`sendBeacon`), the query
/// parameter `ingest_token` carries it.
pub const INGEST_TOKEN_HEADER: &str = ingest_token::HEADER;

/// The number of bodies that one receiver decodes at once: a small malicious body may grow to many times its size.
const DECODERS: usize = 2;
/// Bodies up to this size are decoded on the async task; larger ones would delay other tasks.
const DECODE_INLINE_BYTES: usize = 16 * 1024;
const INGEST_TOKEN_REQUEST: BodyLimits =
    BodyLimits { wire_bytes: 1024, inflated_bytes: 1024, timeout: Duration::from_secs(5), total_bytes: 64 * 1024 };

/// The client's address, which the receiver for pages reads from the request extensions. It is set by a layer that
/// knows which forwarding header to trust. Without it, axum's connect info is used; without that, `client.address` is
/// left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// An ingest token, with its session and lifetime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IssuedIngestToken {
    /// The token to send with every batch.
    pub ingest_token: String,
    /// The `session.id` of all records sent with the token: 32 hex digits.
    pub session_id: String,
    /// How long the token is valid, in seconds.
    pub expires_in_s: u64,
}

/// Why an ingest token could not be issued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The session id is not 32 lower-case hex digits.
    #[error(transparent)]
    SessionId(#[from] SessionIdError),
    /// The system has no randomness for a new session id.
    #[error("cannot generate a session id: {0}")]
    Random(#[source] getrandom::Error),
}

/// The state that all receivers share. Clones share the same state.
#[derive(Clone, Debug)]
pub struct Intake {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    stores: Stores,
    config: IntakeConfig,
    ingest_token_keys: RwLock<Arc<IngestTokenKeys>>,
    origins: AllowedOrigins,
    rate: RateLimiter,
    redactor: Redactor,
    public: Receiver,
    pub(crate) trusted: Receiver,
    ingest_token: Receiver,
    pub(crate) counters: Counters,
}

#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) limits: BodyLimits,
    pub(crate) memory: Memory,
    decoders: Semaphore,
}

impl Receiver {
    fn new(limits: BodyLimits) -> Self {
        Self { limits, memory: Memory::new(&limits), decoders: Semaphore::new(DECODERS) }
    }
}

impl Intake {
    /// Creates an intake that stores the records it receives in `store`.
    #[must_use]
    pub fn new(store: Store, config: IntakeConfig) -> Self {
        let limits = &config.limits;
        let shared = Shared {
            rate: RateLimiter::new(limits, Instant::now()),
            stores: Stores { store, metrics: config.metrics.clone() },
            ingest_token_keys: RwLock::new(Arc::new(config.ingest_token_keys.clone())),
            redactor: Redactor::new(config.redact.clone()),
            origins: AllowedOrigins::new(&config.allowed_origins),
            public: Receiver::new(limits.page_body),
            trusted: Receiver::new(limits.otlp_body),
            ingest_token: Receiver::new(INGEST_TOKEN_REQUEST),
            counters: Counters::default(),
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Issues an ingest token for this session (32 lower-case hex digits), or for a new one.
    ///
    /// # Errors
    /// Returns an error if the session id is malformed, or if the system has no randomness for a new one.
    pub fn issue_ingest_token(&self, session_id: Option<&str>) -> Result<IssuedIngestToken, IssueError> {
        let config = &self.shared.config;
        let session_id = match session_id {
            Some(text) => text.parse()?,
            None => SessionId::random().map_err(IssueError::Random)?,
        };
        let (service_name, now_s) = (&config.browser_service_name, unix_now().as_secs());
        let ingest_token =
            self.shared.ingest_token_keys().issue(session_id, service_name, now_s, config.ingest_token_ttl);
        Ok(IssuedIngestToken {
            ingest_token,
            session_id: session_id.to_string(),
            expires_in_s: config.ingest_token_ttl.as_secs(),
        })
    }

    /// Replaces the keys that sign and verify ingest tokens.
    pub fn set_ingest_token_keys(&self, keys: IngestTokenKeys) {
        *self.shared.ingest_token_keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Returns the counts of accepted and refused records and requests so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }
}

/// Returns the router for browsers: `POST /v1/traces` and `POST /v1/logs`, which require an ingest token, and
/// `POST /v1/ingest-token`. It sets no CORS headers; the caller has to add them.
pub fn page_router(intake: Intake) -> Router {
    Router::new()
        .route(Signal::Traces.path(), post(public::<Span>))
        .route(Signal::Logs.path(), post(public::<LogRecord>))
        .route(ingest_token::PATH, post(issue))
        .route(ingest_token::FORMER_PATH, post(issue_by_former_names))
        .with_state(intake)
}

/// Returns the OTLP/HTTP router for programs: `POST /v1/traces`, `POST /v1/logs`, and `POST /v1/metrics` if
/// [`IntakeConfig::metrics`] is set. Without an OTLP token it must not be reachable from other machines.
pub fn otlp_router(intake: Intake) -> Router {
    let mut router = Router::new()
        .route(Signal::Traces.path(), post(trusted::<Span>))
        .route(Signal::Logs.path(), post(trusted::<LogRecord>));
    if intake.shared.stores.metrics.is_some() {
        router = router.route(Signal::Metrics.path(), post(trusted::<DataPoint>));
    }
    router.with_state(intake)
}

/// Returns the OTLP/gRPC router for programs: the `Export` methods of traces, logs, and metrics if
/// [`IntakeConfig::metrics`] is set. Other methods return `UNIMPLEMENTED`.
pub fn grpc_router(intake: Intake) -> Router {
    let mut router = Router::new()
        .route(grpc::TRACES, post(grpc::export::<Span>))
        .route(grpc::LOGS, post(grpc::export::<LogRecord>));
    if intake.shared.stores.metrics.is_some() {
        router = router.route(grpc::METRICS, post(grpc::export::<DataPoint>));
    }
    router.fallback(grpc::unimplemented).with_state(intake)
}

async fn public<R: FromBrowser>(State(intake): State<Intake>, request: Request) -> Response {
    let encoding = encoding_of(request.headers());
    let (parts, mut body) = request.into_parts();
    let batch = intake.shared.receive_public::<R>(&parts, &mut body, encoding).await;
    intake.shared.respond(batch, encoding, &parts, body)
}

async fn trusted<R: Item>(State(intake): State<Intake>, request: Request) -> Response {
    let encoding = encoding_of(request.headers());
    let (parts, mut body) = request.into_parts();
    let batch = intake.shared.receive_trusted::<R>(&parts, &mut body, encoding).await;
    intake.shared.respond(batch, encoding, &parts, body)
}

fn encoding_of(headers: &HeaderMap) -> Option<Encoding> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().and_then(Encoding::from_content_type)
}

impl Shared {
    /// Builds the response in the encoding of the request, or in JSON if its content type is unknown.
    fn respond<R: Item>(
        &self,
        batch: Result<Batch<R>, Refusal>,
        encoding: Option<Encoding>,
        parts: &Parts,
        body: Body,
    ) -> Response {
        let encoding = encoding.unwrap_or(Encoding::Json);
        match batch {
            Ok(batch) => {
                let body = encode_response(R::SIGNAL, &batch.rejections, encoding);
                ([(header::CONTENT_TYPE, encoding.content_type())], body).into_response()
            }
            Err(refusal) => self.refuse(refusal, encoding, parts, body),
        }
    }

    fn refuse(&self, refusal: Refusal, encoding: Encoding, parts: &Parts, body: Body) -> Response {
        self.counters.refused(&refusal);
        // A client that was too slow gets no more time.
        if !matches!(refusal, Refusal::Slow) {
            body::drain(body, &parts.headers);
        }
        refusal.into_response(encoding)
    }

    /// Checks whether the OTLP receivers accept a request with these headers.
    pub(crate) fn authorize(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        // Pages must not use this receiver, and a browser on this machine can reach the port.
        if headers.contains_key(header::ORIGIN) {
            return Err(Refusal::Origin);
        }
        match &self.config.otlp_token {
            Some(token) if !token.is_in(headers) => Err(Refusal::Token),
            _ => Ok(()),
        }
    }

    async fn receive_trusted<R: Item>(
        &self,
        parts: &Parts,
        body: &mut Body,
        encoding: Option<Encoding>,
    ) -> Result<Batch<R>, Refusal> {
        self.authorize(&parts.headers)?;
        let encoding = encoding.ok_or(Refusal::ContentType)?;
        let receiver = &self.trusted;
        let body = body::read(body, &parts.headers, &receiver.limits, &receiver.memory, &self.counters).await?;
        self.store_body(&body, encoding).await
    }

    /// Decodes and stores a complete body from either OTLP receiver.
    pub(crate) async fn store_body<R: Item>(&self, body: &Buffered, encoding: Encoding) -> Result<Batch<R>, Refusal> {
        let batch = self.trusted.decode(body, || decode::trusted(body.bytes(), encoding)).await?;
        self.store(batch).await
    }

    async fn receive_public<R: FromBrowser>(
        &self,
        parts: &Parts,
        body: &mut Body,
        encoding: Option<Encoding>,
    ) -> Result<Batch<R>, Refusal> {
        if !self.origins.admit(&parts.headers, &parts.uri) {
            return Err(Refusal::Origin);
        }
        let received = unix_now();
        let ingest_token = ingest_token_of(&parts.headers, &parts.uri).ok_or(IngestTokenError::Missing)?;
        let service_name = &self.config.browser_service_name;
        let claims = self.ingest_token_keys().verify(service_name, ingest_token, received.as_secs())?;
        let sender = Sender { session: claims.session_id, client: client_address(parts) };
        self.rate.admit(sender, Instant::now()).map_err(|wait| Refusal::Rate { wait })?;
        let encoding = encoding.ok_or(Refusal::ContentType)?;
        let receiver = &self.public;
        let body = body::read(body, &parts.headers, &receiver.limits, &receiver.memory, &self.counters).await?;
        let enrichment = Enrichment {
            service_name,
            resource_attributes: &self.config.resource_attributes,
            session_id: claims.session_id,
            client_address: sender.client,
            received_ns: i64::try_from(received.as_nanos()).unwrap_or(i64::MAX),
            redactor: &self.redactor,
        };
        let limits = &self.config.limits;
        let batch = receiver.decode(&body, || decode::public(body.bytes(), encoding, limits, &enrichment)).await?;
        self.rate.charge(sender, batch.records.len() + batch.rejections.len(), Instant::now());
        self.store(batch).await
    }

    fn ingest_token_keys(&self) -> Arc<IngestTokenKeys> {
        Arc::clone(&self.ingest_token_keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stores the records of a batch; resolves when they are committed.
    async fn store<R: Item>(&self, mut batch: Batch<R>) -> Result<Batch<R>, Refusal> {
        let records = std::mem::take(&mut batch.records);
        let appended = if records.is_empty() { Appended::default() } else { R::store(records, &self.stores).await? };
        self.counters.accepted(R::SIGNAL, appended, batch.rejected, batch.cut);
        Ok(batch)
    }
}

impl Receiver {
    /// Runs `decode`, at most [`DECODERS`] at a time.
    async fn decode<T>(&self, body: &Buffered, decode: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
        let _turn = self.decoders.acquire().await.expect("the semaphore is never closed");
        let long = body.bytes().len() > DECODE_INLINE_BYTES;
        match tokio::runtime::Handle::current().runtime_flavor() {
            tokio::runtime::RuntimeFlavor::MultiThread if long => tokio::task::block_in_place(decode),
            _ => decode(),
        }
    }
}

/// Returns the ingest token from the header or, without one, from the query.
fn ingest_token_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match headers.get(INGEST_TOKEN_HEADER).or_else(|| headers.get(ingest_token::FORMER_HEADER)) {
        // A header that is not text is handled as an empty one: a malformed ingest token.
        Some(ingest_token) => Some(ingest_token.to_str().unwrap_or("")),
        None => uri.query()?.split('&').find_map(|pair| match pair.split_once('=') {
            Some((ingest_token::PARAMETER | ingest_token::FORMER_PARAMETER, ingest_token)) => Some(ingest_token),
            _ => None,
        }),
    }
}

fn client_address(parts: &Parts) -> Option<IpAddr> {
    let address = parts
        .extensions
        .get::<ClientAddress>()
        .map(|address| address.0)
        .or_else(|| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip()))?;
    // An IPv4 peer of an IPv6 socket is still an IPv4 peer.
    Some(address.to_canonical())
}

fn unix_now() -> Duration {
    // A clock before 1970 is read as 1970: ingest tokens issued then are expired once the clock is corrected.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

#[derive(Default, Deserialize)]
struct IngestTokenRequest {
    session_id: Option<String>,
}

async fn issue(State(intake): State<Intake>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    match intake.issue(&parts, &mut body).await {
        Ok(ingest_token) => ([(header::CACHE_CONTROL, "no-store")], axum::Json(ingest_token)).into_response(),
        Err(refusal) => intake.shared.refuse(refusal, Encoding::Json, &parts, body),
    }
}

/// The body of the response at the former path.
#[derive(Serialize)]
struct FormerIngestToken {
    ticket: String,
    session_id: String,
    expires_in_s: u64,
}

async fn issue_by_former_names(State(intake): State<Intake>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    match intake.issue(&parts, &mut body).await {
        Ok(IssuedIngestToken { ingest_token: ticket, session_id, expires_in_s }) => {
            let body = FormerIngestToken { ticket, session_id, expires_in_s };
            ([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
        }
        Err(refusal) => intake.shared.refuse(refusal, Encoding::Json, &parts, body),
    }
}

impl Intake {
    async fn issue(&self, parts: &Parts, body: &mut Body) -> Result<IssuedIngestToken, Refusal> {
        let shared = &self.shared;
        if !shared.origins.admit(&parts.headers, &parts.uri) {
            return Err(Refusal::Origin);
        }
        let admitted = shared.rate.admit_client(client_address(parts), Instant::now());
        admitted.map_err(|wait| Refusal::Rate { wait })?;
        let receiver = &shared.ingest_token;
        let body = body::read(body, &parts.headers, &receiver.limits, &receiver.memory, &shared.counters).await?;
        let request_body: IngestTokenRequest = if body.bytes().is_empty() {
            IngestTokenRequest::default()
        } else {
            serde_json::from_slice(body.bytes()).map_err(|error| Refusal::Malformed(error.to_string()))?
        };
        self.issue_ingest_token(request_body.session_id.as_deref()).map_err(|error| match error {
            IssueError::SessionId(error) => Refusal::Malformed(error.to_string()),
            IssueError::Random(error) => {
                tracing::error!(%error, "cannot issue an ingest token for a new session");
                Refusal::Failed
            }
        })
    }
}
