//! The layers that are compared, set up as their guides have it.

use axum::Router;
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline_axum::TraceLayer;
use throughline_propagator::Propagator;
use tower_http_opentelemetry::{
    extract::{AxumConnectInfoExtractor, AxumHttpRouteExtractor, XForwardedForExtractor, XForwardedProtoExtractor},
    http::server::{HttpServerTelemetryConfig, HttpServerTelemetryLayer},
};

/// What is around the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing.
    Bare,
    /// Ours, with a tracer of its own.
    Ours,
    /// Ours, by way of a `tracing` span.
    OursByTracing,
    /// `axum-tracing-opentelemetry`.
    AxumTracingOpentelemetry,
    /// `tower-otel`.
    TowerOtel,
    /// `axum-otel`, on the trace layer of `tower-http`.
    AxumOtel,
    /// `opentelemetry-instrumentation-tower`.
    InstrumentationTower,
    /// `tower-http-opentelemetry`.
    TowerHttpOpentelemetry,
}

/// How much of what is off at first is turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As the guide's first example has it.
    Default,
    /// All that there is for the questions of the correctness table.
    Full,
}

impl Subject {
    /// All of them; the bare router first.
    pub const ALL: [Self; 8] = [
        Self::Bare,
        Self::Ours,
        Self::OursByTracing,
        Self::AxumTracingOpentelemetry,
        Self::TowerOtel,
        Self::AxumOtel,
        Self::InstrumentationTower,
        Self::TowerHttpOpentelemetry,
    ];

    /// Its name and version, as tables have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare router",
            Self::Ours => "throughline-axum",
            Self::OursByTracing => "throughline-axum, by tracing",
            Self::AxumTracingOpentelemetry => "axum-tracing-opentelemetry 0.42",
            Self::TowerOtel => "tower-otel 0.12",
            Self::AxumOtel => "axum-otel 0.34",
            Self::InstrumentationTower => "opentelemetry-instrumentation-tower 0.19",
            Self::TowerHttpOpentelemetry => "tower-http-opentelemetry 0.0.6",
        }
    }

    /// Whether it is ours.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursByTracing)
    }

    /// Whether it is somebody else's.
    #[must_use]
    pub fn is_peer(self) -> bool {
        !self.is_ours() && self != Self::Bare
    }

    /// `router` with the layer around it. Metrics and others' spans go to the global providers, ours to `provider`.
    pub fn around(self, router: Router, provider: &SdkTracerProvider, extent: Extent) -> Router {
        let is_full = extent == Extent::Full;
        match self {
            Self::Bare => router,
            Self::Ours | Self::OursByTracing => router.layer(self.ours(provider, extent)),
            Self::AxumTracingOpentelemetry => router
                .layer(axum_tracing_opentelemetry::middleware::OtelAxumLayer::default().try_extract_client_ip(is_full)),
            Self::TowerOtel => {
                let metrics = tower_otel::metrics::HttpLayer::server(&global::meter("tower-otel"));
                let trace = tower_otel::trace::HttpLayer::server(tracing::Level::INFO);
                if is_full {
                    router.layer(metrics).layer(trace.trace_body())
                } else {
                    router.layer(metrics).layer(trace)
                }
            }
            Self::AxumOtel => router.layer(
                tower_http_0_6::trace::TraceLayer::new_for_http()
                    .make_span_with(axum_otel::AxumOtelSpanCreator::new().level(axum_otel::Level::INFO))
                    .on_response(axum_otel::AxumOtelOnResponse::new().level(axum_otel::Level::INFO))
                    .on_failure(axum_otel::AxumOtelOnFailure::new()),
            ),
            Self::InstrumentationTower => router.layer(opentelemetry_instrumentation_tower::http::server::Layer::new()),
            Self::TowerHttpOpentelemetry if is_full => router.layer(
                HttpServerTelemetryLayer::with_config(HttpServerTelemetryConfig::full())
                    .with_http_route_extractor(AxumHttpRouteExtractor)
                    .with_network_peer_address_extractor(AxumConnectInfoExtractor)
                    .with_url_scheme_extractor(XForwardedProtoExtractor)
                    .with_client_address_extractor(XForwardedForExtractor::with_proxy_count(1)),
            ),
            Self::TowerHttpOpentelemetry => {
                router.layer(HttpServerTelemetryLayer::new().with_http_route_extractor(AxumHttpRouteExtractor))
            }
        }
    }

    /// Our layer, for those who change more of it.
    #[must_use]
    pub fn ours(self, provider: &SdkTracerProvider, extent: Extent) -> TraceLayer {
        let mut layer = TraceLayer::new("bench").propagator(Propagator::new());
        if self == Self::Ours {
            layer = layer.tracer(provider.tracer("throughline-axum"));
        }
        if extent == Extent::Full {
            layer = layer.trusted_proxies("127.0.0.0/8".parse()).catch_panics().trace_upgrades();
        }
        layer
    }
}
