#![doc = include_str!("../README.md")]

mod body;
#[cfg(feature = "client")]
pub mod client;
mod future;
mod layer;
mod make_span;
mod on_response;
mod policy;
mod propagator;
mod service;

use opentelemetry::trace::TraceContextExt;
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use body::TraceBody;
pub use future::TraceFuture;
pub use layer::TraceLayer;
pub use policy::{Filter, RemoteParent, RouteTemplate};
pub use propagator::TraceContextPropagator;
pub use service::TraceService;

/// The id of the trace that this code runs in, 32 hex digits; `None` outside a traced request.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span_context = span.span_context();
    span_context.is_valid().then(|| span_context.trace_id().to_string())
}
