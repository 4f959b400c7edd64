//! [`ServerStatus`]: the status of a server span depends on its response, not on log events.

use std::time::Duration;

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::keys;

/// An attribute that `tracing-opentelemetry`, and nothing else, adds to each event.
const LEVEL: &str = "level";

/// A span processor that sets the status of [`TraceLayer`](crate::TraceLayer)'s server spans to error only if the
/// request failed, and passes all spans on to another processor.
///
/// It is needed only if `tracing` creates the server spans, which is the default without `TraceLayer::tracer`.
/// `tracing-opentelemetry` sets the status of every span with an event of level ERROR to error. It has no setting to
/// turn this off, and an error status cannot be reset while the span is open. This processor resets it after the span
/// has ended, if it is a server span of the layer that has such an event but no `error.type`. The event is kept. Spans
/// inside handlers keep their status.
///
/// ```
/// use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
/// use throughline_axum::ServerStatus;
///
/// # let exporter = opentelemetry_sdk::trace::InMemorySpanExporter::default();
/// let processor = ServerStatus::new(BatchSpanProcessor::builder(exporter).build());
/// let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
/// ```
#[derive(Clone, Debug)]
pub struct ServerStatus<P> {
    next: P,
}

impl<P> ServerStatus<P> {
    /// Creates a processor that corrects the status before `next` receives the span.
    #[must_use]
    pub const fn new(next: P) -> Self {
        Self { next }
    }
}

impl<P: SpanProcessor> SpanProcessor for ServerStatus<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if has_wrong_error_status(&span) {
            span.status = Status::Unset;
        }
        self.next.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.next.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

// A span whose status was set by hand has no `tracing` event with a level, and the layer sets `error.type` for each
// failure.
fn has_wrong_error_status(span: &SpanData) -> bool {
    let has = |attributes: &[KeyValue], key| attributes.iter().any(|attribute| attribute.key.as_str() == key);
    matches!(span.status, Status::Error { .. })
        && span.span_kind == SpanKind::Server
        && has(&span.attributes, keys::SERVER_FIRST_BYTE_MS)
        && !has(&span.attributes, attribute::ERROR_TYPE)
        && span.events.iter().any(|event| has(&event.attributes, LEVEL))
}
