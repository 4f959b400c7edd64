//! [`TraceLayer`]: its settings and the [`tower_layer::Layer`] implementation.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use http::{HeaderName, HeaderValue, request::Parts};
use ipnet::IpNet;
use opentelemetry::{global, metrics::Meter, propagation::TextMapPropagator, trace::Tracer};
use throughline_timing::server_timing::encode_instance;
use tower_layer::Layer;

use crate::{
    headers::RecordedHeaders,
    metrics::{Metrics, scope},
    policy::{
        DefaultFilter, DefaultOnRequest, DefaultOnResponse, DefaultRouteTemplate, DefaultTrustParent, Filter,
        OnRequest, OnResponse, RemoteParent, RemoteParentPolicy, RouteTemplate, TrustParent,
    },
    remote::is_document_request,
    service::TraceService,
    span::{ByTracer, ByTracing, Start},
};

/// A [`tower_layer::Layer`] that creates a SERVER span for each request and records HTTP server metrics.
///
/// The [crate documentation](crate) describes its behaviour.
#[derive(Clone)]
pub struct TraceLayer {
    pub(crate) settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    /// The start of this layer's metric in `Server-Timing`.
    pub(crate) instance: String,
    pub(crate) start: Arc<dyn Start>,
    /// Created on the first request, because the global provider may be set after the layer is created.
    metrics: Arc<OnceLock<Metrics>>,
    pub(crate) remote_parent: Arc<dyn RemoteParentPolicy>,
    /// `None` for the global propagator, which may be set after the layer is created.
    pub(crate) propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
    pub(crate) trust_parent: Arc<dyn TrustParent>,
    pub(crate) filter: Arc<dyn Filter>,
    pub(crate) route: Arc<dyn RouteTemplate>,
    pub(crate) documents: Arc<dyn Filter>,
    pub(crate) on_request: Arc<dyn OnRequest>,
    pub(crate) on_response: Arc<dyn OnResponse>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) request_headers: RecordedHeaders,
    pub(crate) response_headers: RecordedHeaders,
    pub(crate) timing_allow_origins: Vec<HeaderValue>,
    pub(crate) catches_panics: bool,
    #[cfg(feature = "upgrades")]
    pub(crate) traces_upgrades: bool,
}

impl Settings {
    pub(crate) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| Metrics::new(&global::meter_with_scope(scope())))
    }
}

impl fmt::Debug for TraceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLayer")
            .field("instance", &self.settings.instance)
            .field("trusted_proxies", &self.settings.trusted_proxies)
            .field("timing_allow_origins", &self.settings.timing_allow_origins)
            .finish_non_exhaustive()
    }
}

impl TraceLayer {
    /// Creates a layer that traces every request.
    ///
    /// `instance` is the `service.instance.id` of this process: 1 to 64 characters of `A-Z a-z 0-9 . _ -`. Browsers use
    /// it to estimate the clock offset of each instance separately.
    #[must_use]
    pub fn new(instance: impl AsRef<str>) -> Self {
        Self {
            settings: Arc::new(Settings {
                instance: encode_instance(instance.as_ref()),
                start: Arc::new(ByTracing),
                metrics: Arc::default(),
                remote_parent: Arc::new(RemoteParent::default()),
                propagator: None,
                trust_parent: Arc::new(DefaultTrustParent),
                filter: Arc::new(DefaultFilter),
                route: Arc::new(DefaultRouteTemplate),
                documents: Arc::new(is_document_request),
                on_request: Arc::new(DefaultOnRequest),
                on_response: Arc::new(DefaultOnResponse),
                trusted_proxies: Vec::new(),
                request_headers: RecordedHeaders::default(),
                response_headers: RecordedHeaders::default(),
                timing_allow_origins: Vec::new(),
                catches_panics: false,
                #[cfg(feature = "upgrades")]
                traces_upgrades: false,
            }),
        }
    }

    /// Creates the server spans with `tracer` instead of `tracing`, which is faster. `tracing` spans in handlers are
    /// still children of the server span, and `opentelemetry::Context::current()` contains it. However, log lines are
    /// not inside a `tracing` span, and events outside of a handler's own spans are not part of the trace.
    /// Default: a `tracing` span, which a `tracing-opentelemetry` layer turns into an OpenTelemetry span.
    #[must_use]
    pub fn tracer<T>(self, tracer: T) -> Self
    where
        T: Tracer + Send + Sync + 'static,
        T::Span: Send + Sync + 'static,
    {
        self.with(|settings| settings.start = Arc::new(ByTracer(tracer)))
    }

    /// Sets the meter for the metrics. Default: OpenTelemetry's global meter provider, read on the first request.
    #[must_use]
    pub fn meter(self, meter: &Meter) -> Self {
        self.with(|settings| settings.metrics = Arc::new(OnceLock::from(Metrics::new(meter))))
    }

    /// Sets the propagator that extracts trace context and baggage from a request. Default: OpenTelemetry's global one,
    /// read on each request. A global propagator that was never set extracts nothing:
    /// `global::set_text_map_propagator(throughline_propagator::Propagator::new())` sets the one for W3C Trace Context
    /// and Baggage.
    #[must_use]
    pub fn propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.propagator = Some(Arc::new(propagator)))
    }

    /// Sets the policy for continuing a trace that a client started. Default: [`RemoteParent::Always`].
    #[must_use]
    pub fn remote_parent(self, policy: impl RemoteParentPolicy) -> Self {
        self.with(|settings| settings.remote_parent = Arc::new(policy))
    }

    /// Sets which requests may continue a trace under [`RemoteParent::Trusted`]. Default: none.
    #[must_use]
    pub fn trust_parent(self, trust_parent: impl TrustParent) -> Self {
        self.with(|settings| settings.trust_parent = Arc::new(trust_parent))
    }

    /// Sets which requests are traced and measured; the others pass through unchanged. Default: all.
    /// [`ExceptPaths`](crate::ExceptPaths) excludes paths.
    #[must_use]
    pub fn filter(self, filter: impl Filter) -> Self {
        self.with(|settings| settings.filter = Arc::new(filter))
    }

    /// Sets the source of `http.route`, for routers whose own template is too coarse. Default: axum's matched path.
    #[must_use]
    pub fn route(self, route: impl RouteTemplate) -> Self {
        self.with(|settings| settings.route = Arc::new(route))
    }

    /// Adds request attributes that the semantic conventions do not define. Default: none.
    #[must_use]
    pub fn on_request(self, on_request: impl OnRequest) -> Self {
        self.with(|settings| settings.on_request = Arc::new(on_request))
    }

    /// Adds response attributes that the semantic conventions do not define, and response headers. Default: none.
    #[must_use]
    pub fn on_response(self, on_response: impl OnResponse) -> Self {
        self.with(|settings| settings.on_response = Arc::new(on_response))
    }

    /// Sets the networks of trusted proxies, whose `Forwarded` or `X-Forwarded-*` headers are used. Default: none. Has
    /// an effect only if the peer's address is known: see axum's `into_make_service_with_connect_info`.
    #[must_use]
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.with(|settings| settings.trusted_proxies = networks.into_iter().collect())
    }

    /// Records a request header as `http.request.header.<name>`. Default: none. `authorization`, `proxy-authorization`,
    /// `cookie` and `set-cookie` are never recorded.
    #[must_use]
    pub fn record_request_header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.request_headers.add("http.request.header", name))
    }

    /// Records a response header as `http.response.header.<name>`. Default: none. The headers that
    /// [`record_request_header`](Self::record_request_header) never records are not recorded here either.
    #[must_use]
    pub fn record_response_header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.response_headers.add("http.response.header", name))
    }

    /// Catches a panic in a handler and responds with 500 and an empty body. Default: the panic is recorded as an
    /// exception of the span and resumed. A panic in a body is always resumed, because the response head has already
    /// been sent.
    #[must_use]
    pub fn catch_panics(self) -> Self {
        self.with(|settings| settings.catches_panics = true)
    }

    /// Keeps the span of an upgraded connection (WebSocket, also over HTTP/2: RFC 8441) open until the connection
    /// closes, and counts its bytes. The handler then reads and writes an in-memory pipe to the client, which copies
    /// each byte once. Default: the span ends with the response head.
    #[cfg(feature = "upgrades")]
    #[must_use]
    pub fn trace_upgrades(self) -> Self {
        self.with(|settings| settings.traces_upgrades = true)
    }

    /// Sets which requests without `traceparent` are for a page that traces itself. For these, the layer generates the
    /// id of a parent span, and the page uses this id for its own span. Default: every GET with
    /// `Sec-Fetch-Dest: document`, or, without that header, every GET that accepts `text/html`. `documents` can only
    /// exclude some of those.
    #[must_use]
    pub fn documents(self, documents: impl Filter) -> Self {
        self.with(|settings| {
            settings.documents =
                Arc::new(move |request: &Parts| is_document_request(request) && documents.traces(request));
        })
    }

    /// Adds an origin whose pages may read the timing of their requests to this server (`Timing-Allow-Origin`), such as
    /// `HeaderValue::from_static("https://app.example")`; `*` allows every origin. Default: only the server's own
    /// origin.
    #[must_use]
    pub fn timing_allow_origin(self, origin: HeaderValue) -> Self {
        self.with(|settings| settings.timing_allow_origins.push(origin))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner, settings: Arc::clone(&self.settings) }
    }
}
