//! Telemetry of an application in three lines: [`init`], [`Telemetry::layer`], [`Telemetry::inspector`].

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use opentelemetry::{Key, KeyValue, global, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use opentelemetry_semantic_conventions::resource::{SERVICE_INSTANCE_ID, SERVICE_NAME};
use thiserror::Error;
use throughline_axum::{ExceptPaths, TraceLayer};
use throughline_export::EncodingSpanProcessor;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{embedded::Embedded, server::install_crypto_provider, telemetry};

const SCOPE: &str = "throughline";

/// How long the last spans may take to be sent when the telemetry is dropped.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The routes of the inspector and of the receiver for pages make no spans.
const UNTRACED: [&str; 7] =
    ["/v1/traces", "/v1/logs", "/v1/ingest-token", "/v1/ticket", "/traces", "/api/traces", "/api/metrics"];

/// Why the telemetry of an application cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// The exporter or its HTTP client cannot be made.
    #[error("the exporter cannot be set up: {0}")]
    Exporter(#[source] BoxedError),
    /// A setting is wrong; the text names it.
    #[error("a setting is wrong: {0}")]
    Setting(String),
    /// The receiver, the store or a sink cannot be started.
    #[error("the inspector cannot be started: {0}")]
    Inspector(String),
    /// [`Telemetry::inspector`] was called before.
    #[error("the inspector is part of the application already: call `inspector()` once")]
    AlreadyEmbedded,
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Sets up tracing for this process by the standard environment variables; the same as `builder().init()`.
///
/// | variable | effect |
/// | --- | --- |
/// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | the resource of all spans |
/// | `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION`, each also with `TRACES_` | where spans are sent, by OTLP/HTTP; by default to `http://localhost:4318` |
/// | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*` | sampling, and batches |
/// | `OTEL_PROPAGATORS` | which headers carry the context; by default `tracecontext,baggage` |
/// | `RUST_LOG` | what is logged on standard error, if the application has not set a `tracing` subscriber |
///
/// Keep what is returned until the end of `main`: it sends the last spans when it is dropped.
///
/// # Errors
/// The exporter cannot be set up, or a setting is wrong.
///
/// ```no_run
/// use axum::{Router, routing::put};
///
/// # async fn save() {}
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let telemetry = throughline::init()?;
///     let app = Router::new()
///         .route("/notes/{id}", put(save))
///         .layer(telemetry.layer())
///         .merge(telemetry.inspector()?);
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
///     axum::serve(listener, app).await?;
///     Ok(())
/// }
/// ```
pub fn init() -> Result<Telemetry, InitError> {
    builder().init()
}

/// Settings of [`init`] in code.
#[must_use]
pub fn builder() -> Builder {
    Builder { service_name: None, sets_subscriber: true }
}

/// Sets up the telemetry of an application; made by [`builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    service_name: Option<String>,
    sets_subscriber: bool,
}

impl Builder {
    /// `service.name` where `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` do not name one.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Leaves the global `tracing` subscriber to the application, which adds [`Telemetry::tracing_layer`] to its own.
    #[must_use]
    pub fn without_subscriber(mut self) -> Self {
        self.sets_subscriber = false;
        self
    }

    /// Sets up tracing for this process; see [`init`].
    ///
    /// # Errors
    /// The exporter cannot be set up, or a setting is wrong.
    pub fn init(self) -> Result<Telemetry, InitError> {
        install_crypto_provider();
        let instance = uuid::Uuid::new_v4().to_string();
        let name = Key::from_static_str(SERVICE_NAME);
        let of_environment = Resource::builder().build();
        let is_named = of_environment.get(&name).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
        let mut attributes = vec![KeyValue::new(SERVICE_INSTANCE_ID, instance.clone())];
        if let Some(given) = self.service_name.filter(|_| !is_named) {
            attributes.push(KeyValue::new(SERVICE_NAME, given));
        }
        let resource = Resource::builder().with_attributes(attributes).build();
        let service_name = resource.get(&name).map_or_else(|| SCOPE.to_owned(), |name| name.as_str().into_owned());

        let destination = Arc::new(OnceLock::new());
        let client = telemetry::client().map_err(|error| InitError::Exporter(error.into()))?;
        let client = Redirectable { inner: client, destination: Arc::clone(&destination) };
        let exporter =
            EncodingSpanProcessor::builder_from_env().map_err(|error| InitError::Setting(error.to_string()))?;
        let mut exporter = exporter.client(client);
        if std::env::var_os("OTEL_BSP_SCHEDULE_DELAY").is_none() {
            exporter = exporter.scheduled_delay(telemetry::EXPORT_INTERVAL);
        }
        let processor = telemetry::processor(exporter);
        let processor = processor.map_err(|error| InitError::Setting(error.to_string()))?;
        let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build();
        global::set_tracer_provider(provider.clone());
        telemetry::set_propagator().map_err(|error| InitError::Setting(error.to_string()))?;
        let telemetry = Telemetry { provider, instance, service_name, destination, embedded: Mutex::new(None) };
        if self.sets_subscriber {
            telemetry.set_subscriber();
        }
        Ok(telemetry)
    }
}

/// The telemetry of an application. Dropping it sends the last spans, which takes 5 s at most, and stops the inspector.
pub struct Telemetry {
    provider: SdkTracerProvider,
    instance: String,
    service_name: String,
    destination: Arc<OnceLock<Destination>>,
    embedded: Mutex<Option<Embedded>>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("service_name", &self.service_name).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// The tower layer that makes a server span of each request, with the settings of its defaults but for the routes of the
    /// inspector, which make none.
    #[must_use]
    pub fn layer(&self) -> TraceLayer {
        TraceLayer::new(&self.instance).tracer(self.provider.tracer(SCOPE)).filter(ExceptPaths::new(UNTRACED))
    }

    /// A `tracing` layer that makes OpenTelemetry spans of `tracing` spans of level `INFO` and above, for an application that sets
    /// its subscriber itself.
    pub fn tracing_layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + Send + Sync + for<'a> LookupSpan<'a>,
    {
        otel_layer(self.provider.tracer(SCOPE)).with_filter(LevelFilter::INFO)
    }

    /// The provider, for whatever else needs one.
    #[must_use]
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// Receiver, store, inspector and forwarder inside this process, as routes to merge into the application's router: the inspector at
    /// `/traces`, its API at `/api/traces` and `/api/metrics`, the receiver for pages at `/v1/traces`, `/v1/logs` and `/v1/ingest-token`.
    ///
    /// The settings are those of the program `throughline`, by environment: the data directory `THROUGHLINE_DATA_DIR` (`data`), the
    /// receivers for other programs on 127.0.0.1:4318 and :4317, upstreams by `HONEYCOMB_API_KEY` or `OTEL_EXPORTER_OTLP_ENDPOINT`. The
    /// application's own spans go to the store from now on, and from there to the upstreams.
    ///
    /// Clients on this machine may look at traces if the application is served with
    /// `into_make_service_with_connect_info::<SocketAddr>()`; all others need the token, which is in the log and stays the same in the data directory
    /// (`THROUGHLINE_ACCESS_TOKEN` sets it, `THROUGHLINE_INSPECTOR_ACCESS=open` goes without).
    ///
    /// # Errors
    /// A setting is wrong, the data directory is in use or cannot be written, an address is in use, or `inspector` was called before.
    pub fn inspector(&self) -> Result<Router, InitError> {
        let mut embedded = self.embedded.lock().unwrap_or_else(PoisonError::into_inner);
        if embedded.is_some() {
            return Err(InitError::AlreadyEmbedded);
        }
        let (started, router) = Embedded::start(&self.service_name)?;
        let destination = started.destination();
        // A destination is set once, with `embedded`, under its lock.
        self.destination.set(destination).map_err(|_| InitError::AlreadyEmbedded)?;
        *embedded = Some(started);
        Ok(router)
    }

    fn set_subscriber(&self) {
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
        let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
        if tracing_subscriber::registry().with(self.tracing_layer()).with(log).try_init().is_err() {
            tracing::warn!(
                "a tracing subscriber is set already, so that only requests become spans; add `telemetry.tracing_layer()` to it, \
                 or call `throughline::init()` instead of setting one"
            );
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::warn!(%error, "the last spans of this process may be lost");
        }
        let embedded = self.embedded.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        drop(embedded);
    }
}

/// The layer that makes OpenTelemetry spans of `tracing` spans, without what only costs bytes.
pub(crate) fn otel_layer<S>(tracer: SdkTracer) -> tracing_opentelemetry::OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// Where spans go instead of the endpoint of the environment.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) endpoint: Uri,
    pub(crate) authorization: Option<HeaderValue>,
}

/// A client whose requests can be sent elsewhere later: `inspector()` is called after the exporter was made.
#[derive(Debug)]
struct Redirectable<C> {
    inner: C,
    destination: Arc<OnceLock<Destination>>,
}

#[async_trait]
impl<C: HttpClient> HttpClient for Redirectable<C> {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if let Some(destination) = self.destination.get() {
            *request.uri_mut() = destination.endpoint.clone();
            // Headers of the environment are for the upstream, and may hold its key.
            let headers = request.headers_mut();
            let kept = [header::CONTENT_TYPE, header::CONTENT_ENCODING].map(|name| (headers.get(&name).cloned(), name));
            headers.clear();
            headers.extend(kept.into_iter().filter_map(|(value, name)| Some((name, value?))));
            if let Some(authorization) = &destination.authorization {
                headers.insert(header::AUTHORIZATION, authorization.clone());
            }
        }
        self.inner.send_bytes(request).await
    }
}
