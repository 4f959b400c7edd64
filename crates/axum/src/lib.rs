#![doc = include_str!("../README.md")]

mod body;
mod description;
mod forwarded;
mod future;
mod headers;
mod host;
mod in_flight;
mod layer;
mod methods;
mod metrics;
mod policy;
mod received;
mod remote;
mod routes;
mod server_timing;
mod service;
mod slots;
mod span;
#[cfg(feature = "server-status")]
mod status;
#[cfg(feature = "upgrades")]
mod upgrade;
mod versions;

use std::any::Any;

use opentelemetry::{Context, trace::TraceContextExt};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use body::TraceBody;
pub use forwarded::Forwarded;
pub use future::TraceFuture;
pub use ipnet::IpNet;
pub use layer::TraceLayer;
pub use policy::{
    DefaultFilter, DefaultOnRequest, DefaultOnResponse, DefaultRouteTemplate, DefaultTrustParent, ExceptPaths, Filter,
    OnRequest, OnResponse, RemoteParent, RemoteParentPolicy, Route, RouteTemplate, TrustParent,
};
pub use service::TraceService;
#[cfg(feature = "server-status")]
pub use status::ServerStatus;

/// Returns the trace id of the current span as 32 hex digits, or `None` outside a traced request.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    let id = |context: &Context| {
        let span = context.span();
        span.span_context().is_valid().then(|| span.span_context().trace_id().to_string())
    };
    // The `tracing` span is the fallback for subscribers that do not make its OpenTelemetry context current.
    id(&Context::current()).or_else(|| id(&tracing::Span::current().context()))
}

/// Records a caught panic as an `exception` event of the current span.
///
/// An application calls this if it catches panics inside the layer and builds the response itself.
pub fn record_panic(payload: &(dyn Any + Send)) {
    in_flight::exception(&Context::current().span(), "panic", policy::panic_message(payload));
}
