//! The receivers over HTTP.

use crate::{
    IntakeConfig, SessionId, Stats, IngestTokenError, IngestTokenKeys,
    body::{self, Buffered, Memory},
    config::BodyLimits,
    decode::{self, Taken},
    grpc,
    item::{FromBrowser, Item, Stores},
    origin::AllowedOrigins,
    rate::{RateLimiter, Sender},
    refusal::Refusal,
    redact::Redactor,
    session::SessionIdError,
    enrich::Enrichment,
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

/// The header in which a browser sends its ingest token. What cannot set headers (`sendBeacon`) uses the query `?ingest_token=`.
pub const INGEST_TOKEN_HEADER: &str = ingest_token::HEADER;

/// How many bodies are decoded at once at one receiver: decoded, a small hostile body may take many times its size.
const DECODERS: usize = 2;
/// Up to so many bytes are decoded where they were read; more would hold other tasks up.
const DECODE_INLINE_BYTES: usize = 16 * 1024;
const INGEST_TOKEN_REQUEST: BodyLimits =
    BodyLimits { wire_bytes: 1024, inflated_bytes: 1024, timeout: Duration::from_secs(5), total_bytes: 64 * 1024 };

/// Who sent a request, for the receiver for pages: put into its extensions by whoever knows which forwarding header to trust.
/// Without it, axum's connect info is used; without that, `client.address` is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// An ingest token and what its holder should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IssuedIngestToken {
    /// To be sent with every batch.
    pub ingest_token: String,
    /// 32 hex digits: `session.id` of everything sent with it.
    pub session_id: String,
    /// How long it is good, seconds.
    pub expires_in_s: u64,
}

/// Why there is no ingest token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The session id that the ingest token should be for is none.
    #[error(transparent)]
    SessionId(#[from] SessionIdError),
    /// The system has no randomness for a new session id.
    #[error("no randomness for a session id: {0}")]
    Random(#[source] getrandom::Error),
}

/// What both receivers share. Clones are the same intake.
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
    /// What comes in goes into `store`.
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

    /// An ingest token for this session (32 lower-case hex digits), or for a new one.
    ///
    /// # Errors
    /// The session id is not of that form, or the system has no randomness for a new one.
    pub fn issue_ingest_token(&self, session_id: Option<&str>) -> Result<IssuedIngestToken, IssueError> {
        let config = &self.shared.config;
        let session_id = match session_id {
            Some(text) => text.parse()?,
            None => SessionId::random().map_err(IssueError::Random)?,
        };
        let (service_name, now_s) = (&config.browser_service_name, unix_now().as_secs());
        let ingest_token = self.shared.ingest_token_keys().issue(session_id, service_name, now_s, config.ingest_token_ttl);
        Ok(IssuedIngestToken { ingest_token, session_id: session_id.to_string(), expires_in_s: config.ingest_token_ttl.as_secs() })
    }

    /// From now on ingest tokens are signed and checked with these.
    pub fn set_ingest_token_keys(&self, keys: IngestTokenKeys) {
        *self.shared.ingest_token_keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// What came in so far, and what did not.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }
}

/// The receiver for browsers: `POST /v1/traces` and `POST /v1/logs` with an ingest token, `POST /v1/ingest-token`. CORS headers are the
/// caller's to add.
pub fn page_router(intake: Intake) -> Router {
    Router::new()
        .route(Signal::Traces.path(), post(public::<Span>))
        .route(Signal::Logs.path(), post(public::<LogRecord>))
        .route(ingest_token::PATH, post(issue))
        .route(ingest_token::FORMER_PATH, post(issue_by_former_names))
        .with_state(intake)
}

/// The receiver for programs of the same machine: `POST /v1/traces`, `POST /v1/logs`, and `POST /v1/metrics` where there is a place
/// for data points. Without a token it must not be reachable from elsewhere.
pub fn otlp_router(intake: Intake) -> Router {
    let mut router = Router::new()
        .route(Signal::Traces.path(), post(trusted::<Span>))
        .route(Signal::Logs.path(), post(trusted::<LogRecord>));
    if intake.shared.stores.metrics.is_some() {
        router = router.route(Signal::Metrics.path(), post(trusted::<DataPoint>));
    }
    router.with_state(intake)
}

/// The same receiver for OTLP/gRPC: the three `Export` methods, and `UNIMPLEMENTED` for whatever else is called.
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
    let taken = intake.shared.take_public::<R>(&parts, &mut body, encoding).await;
    intake.shared.answer(taken, encoding, &parts, body)
}

async fn trusted<R: Item>(State(intake): State<Intake>, request: Request) -> Response {
    let encoding = encoding_of(request.headers());
    let (parts, mut body) = request.into_parts();
    let taken = intake.shared.take_trusted::<R>(&parts, &mut body, encoding).await;
    intake.shared.answer(taken, encoding, &parts, body)
}

fn encoding_of(headers: &HeaderMap) -> Option<Encoding> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().and_then(Encoding::from_content_type)
}

impl Shared {
    /// The answer mirrors the request's encoding; it is JSON where that is neither.
    fn answer<R: Item>(
        &self,
        taken: Result<Taken<R>, Refusal>,
        encoding: Option<Encoding>,
        parts: &Parts,
        body: Body,
    ) -> Response {
        let encoding = encoding.unwrap_or(Encoding::Json);
        match taken {
            Ok(taken) => {
                let body = encode_response(R::SIGNAL, &taken.rejections, encoding);
                ([(header::CONTENT_TYPE, encoding.content_type())], body).into_response()
            }
            Err(refusal) => self.refuse(refusal, encoding, parts, body),
        }
    }

    fn refuse(&self, refusal: Refusal, encoding: Encoding, parts: &Parts, body: Body) -> Response {
        self.counters.refused(&refusal);
        // Who did not send in time is not waited for any longer.
        if !matches!(refusal, Refusal::Slow) {
            body::drain(body, &parts.headers);
        }
        refusal.into_response(encoding)
    }

    /// Whether a request may come through the OTLP receivers.
    pub(crate) fn trust(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        // No page has business here, and a browser on this machine would reach the port.
        if headers.contains_key(header::ORIGIN) {
            return Err(Refusal::Origin);
        }
        match &self.config.otlp_token {
            Some(token) if !token.is_in(headers) => Err(Refusal::Token),
            _ => Ok(()),
        }
    }

    async fn take_trusted<R: Item>(
        &self,
        parts: &Parts,
        body: &mut Body,
        encoding: Option<Encoding>,
    ) -> Result<Taken<R>, Refusal> {
        self.trust(&parts.headers)?;
        let encoding = encoding.ok_or(Refusal::ContentType)?;
        let receiver = &self.trusted;
        let body = body::read(body, &parts.headers, &receiver.limits, &receiver.memory, &self.counters).await?;
        self.keep_trusted(&body, encoding).await
    }

    /// What both OTLP receivers do with a body that is all there.
    pub(crate) async fn keep_trusted<R: Item>(&self, body: &Buffered, encoding: Encoding) -> Result<Taken<R>, Refusal> {
        let taken = self.trusted.decode(body, || decode::trusted(body.bytes(), encoding)).await?;
        self.store(taken).await
    }

    async fn take_public<R: FromBrowser>(
        &self,
        parts: &Parts,
        body: &mut Body,
        encoding: Option<Encoding>,
    ) -> Result<Taken<R>, Refusal> {
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
        let taken = receiver.decode(&body, || decode::public(body.bytes(), encoding, limits, &enrichment)).await?;
        self.rate.charge(sender, taken.records.len() + taken.rejections.len(), Instant::now());
        self.store(taken).await
    }

    fn ingest_token_keys(&self) -> Arc<IngestTokenKeys> {
        Arc::clone(&self.ingest_token_keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when the records are committed.
    async fn store<R: Item>(&self, mut taken: Taken<R>) -> Result<Taken<R>, Refusal> {
        let records = std::mem::take(&mut taken.records);
        let appended = if records.is_empty() { Appended::default() } else { R::store(records, &self.stores).await? };
        self.counters.accepted(R::SIGNAL, appended, taken.rejected, taken.cut);
        Ok(taken)
    }
}

impl Receiver {
    /// Decodes, few at a time.
    async fn decode<T>(&self, body: &Buffered, decode: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
        let _turn = self.decoders.acquire().await.expect("the semaphore is never closed");
        let long = body.bytes().len() > DECODE_INLINE_BYTES;
        match tokio::runtime::Handle::current().runtime_flavor() {
            tokio::runtime::RuntimeFlavor::MultiThread if long => tokio::task::block_in_place(decode),
            _ => decode(),
        }
    }
}

/// The header's, else the query's.
fn ingest_token_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match headers.get(INGEST_TOKEN_HEADER).or_else(|| headers.get(ingest_token::FORMER_HEADER)) {
        // What is not text is a malformed ingest token, as an empty one is.
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
    // A clock before 1970 stands still at 1970: ingest tokens then neither expire nor are good for long.
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
        let asked: IngestTokenRequest = if body.bytes().is_empty() {
            IngestTokenRequest::default()
        } else {
            serde_json::from_slice(body.bytes()).map_err(|error| Refusal::Malformed(error.to_string()))?
        };
        self.issue_ingest_token(asked.session_id.as_deref()).map_err(|error| match error {
            IssueError::SessionId(error) => Refusal::Malformed(error.to_string()),
            IssueError::Random(error) => {
                tracing::error!(%error, "no ingest token for a new session");
                Refusal::Failed
            }
        })
    }
}
