//! The compared layers, configured as in their guides.

use axum::Router;
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline_axum::TraceLayer;
use throughline_propagator::Propagator;
use tower_http_opentelemetry::{
    extract::{AxumConnectInfoExtractor, AxumHttpRouteExtractor, XForwardedForExtractor, XForwardedProtoExtractor},
    http::server::{HttpServerTelemetryConfig, HttpServerTelemetryLayer},
};

/// A layer around the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// No layer.
    Bare,
    /// Our layer with its own tracer.
    Ours,
    /// Our layer with a `tracing` span.
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

/// The features that are enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The configuration of the guide's first example.
    Default,
    /// Every feature that the correctness table requires.
    Full,
}

impl Subject {
    /// All layers; the bare router first.
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

    /// Returns its name and version in tables.
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

    /// Returns whether it is our layer.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursByTracing)
    }

    /// Returns whether it is a third-party layer.
    #[must_use]
    pub fn is_peer(self) -> bool {
        !self.is_ours() && self != Self::Bare
    }

    /// Returns `router` wrapped in the layer. Metrics and the spans of other layers use the global providers, our spans
    /// `provider`.
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

    /// Returns our layer, for further configuration.
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
