//! Tracing for an axum application in three lines: [`init`], [`Telemetry::layer`], [`Telemetry::inspector`].

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

/// The timeout for sending the last spans when the telemetry is dropped.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The routes of the inspector and of the receiver for pages, which are not traced.
const UNTRACED: [&str; 7] =
    ["/v1/traces", "/v1/logs", "/v1/ingest-token", "/v1/ticket", "/traces", "/api/traces", "/api/metrics"];

/// The error of an application's telemetry that cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// The exporter or its HTTP client cannot be set up.
    #[error("cannot set up the exporter: {0}")]
    Exporter(#[source] BoxedError),
    /// A setting is invalid; the text names it.
    #[error("invalid setting: {0}")]
    Setting(String),
    /// The receiver, the store or a sink cannot be started.
    #[error("cannot start the inspector: {0}")]
    Inspector(String),
    /// [`Telemetry::inspector`] was called more than once.
    #[error("the inspector is already part of the application: call `inspector()` only once")]
    AlreadyEmbedded,
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Sets up tracing for this process from the standard environment variables; equivalent to `builder().init()`.
///
/// | variable | effect |
/// | --- | --- |
/// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | the resource of all spans |
/// | `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION`, each also with `TRACES_` | the OTLP/HTTP endpoint to which spans are sent; `http://localhost:4318` by default |
/// | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*` | sampling and batching |
/// | `OTEL_PROPAGATORS` | the headers that carry the context; `tracecontext,baggage` by default |
/// | `RUST_LOG` | the filter of the log on standard error, unless the application has set a `tracing` subscriber |
///
/// Keep the returned [`Telemetry`] until the end of `main`: it sends the last spans when it is dropped.
///
/// # Errors
/// Returns an error if the exporter cannot be set up, or a setting is invalid.
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
///     // With connect info, so that clients on this machine need no access token.
///     axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await?;
///     Ok(())
/// }
/// ```
pub fn init() -> Result<Telemetry, InitError> {
    builder().init()
}

/// Returns a builder that sets up tracing like [`init`], with settings in code.
#[must_use]
pub fn builder() -> Builder {
    Builder { service_name: None, sets_subscriber: true }
}

/// A builder for the telemetry of an application, created by [`builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    service_name: Option<String>,
    sets_subscriber: bool,
}

impl Builder {
    /// Sets the `service.name` that is used unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` has one.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Does not set the global `tracing` subscriber. The application adds [`Telemetry::tracing_layer`] to its own.
    #[must_use]
    pub fn without_subscriber(mut self) -> Self {
        self.sets_subscriber = false;
        self
    }

    /// Sets up tracing for this process; see [`init`].
    ///
    /// # Errors
    /// Returns an error if the exporter cannot be set up, or a setting is invalid.
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

/// The telemetry of an application. Dropping it sends the last spans, which takes at most 5 s, and stops the inspector.
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
    /// Returns the tower layer that creates a server span for each request, except requests to the inspector's routes. All other options
    /// of the layer have their defaults.
    #[must_use]
    pub fn layer(&self) -> TraceLayer {
        TraceLayer::new(&self.instance).tracer(self.provider.tracer(SCOPE)).filter(ExceptPaths::new(UNTRACED))
    }

    /// Returns a `tracing` layer that creates an OpenTelemetry span for each `tracing` span of level `INFO` and above, for an application
    /// that sets its own subscriber.
    pub fn tracing_layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + Send + Sync + for<'a> LookupSpan<'a>,
    {
        otel_layer(self.provider.tracer(SCOPE)).with_filter(LevelFilter::INFO)
    }

    /// Returns the tracer provider, for other libraries that need one.
    #[must_use]
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// Starts the receivers, the store, the inspector and the forwarder in this process, and returns routes to merge into the
    /// application's router.
    ///
    /// The inspector is at `/traces`, its API at `/api/traces` and `/api/metrics`, and the receiver for pages at `/v1/traces`, `/v1/logs`
    /// and `/v1/ingest-token`.
    ///
    /// The settings are those of the program `throughline`, read from the environment: the data directory `THROUGHLINE_DATA_DIR`
    /// (default `data`), the receivers for other programs on 127.0.0.1:4318 and :4317, and upstreams by `HONEYCOMB_API_KEY` or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`. After this call, the application's own spans are sent to the store, and forwarded to the upstreams
    /// from there.
    ///
    /// Clients on this machine may access the inspector if the application is served with
    /// `into_make_service_with_connect_info::<SocketAddr>()`. All other clients need the access token, which is logged at startup and
    /// kept in the data directory. `THROUGHLINE_ACCESS_TOKEN` sets it; with `THROUGHLINE_INSPECTOR_ACCESS=open` no token is needed.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid, the data directory is in use or cannot be written, an address is in use, or `inspector`
    /// was called before.
    pub fn inspector(&self) -> Result<Router, InitError> {
        let mut embedded = self.embedded.lock().unwrap_or_else(PoisonError::into_inner);
        if embedded.is_some() {
            return Err(InitError::AlreadyEmbedded);
        }
        let (started, router) = Embedded::start(&self.service_name)?;
        let destination = started.destination();
        // The destination is set only here, together with `embedded` and under its lock.
        self.destination.set(destination).map_err(|_| InitError::AlreadyEmbedded)?;
        *embedded = Some(started);
        Ok(router)
    }

    fn set_subscriber(&self) {
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
        let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
        if tracing_subscriber::registry().with(self.tracing_layer()).with(log).try_init().is_err() {
            tracing::warn!(
                "a tracing subscriber is already set, so that only requests become spans; add `telemetry.tracing_layer()` to it, \
                 or let `throughline::init()` set the subscriber"
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

/// Returns the layer that creates OpenTelemetry spans for `tracing` spans, without attributes for code locations, threads and targets.
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

/// The destination that replaces the endpoint of the environment.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) endpoint: Uri,
    pub(crate) authorization: Option<HeaderValue>,
}

/// An HTTP client whose destination can be changed after the exporter has been created, when `inspector()` is called.
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
            // Headers of the environment are for the upstream, and may have its key.
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
