//! [`ServerStatus`]: whether a request has failed is said by its response, and not by a line of the log.

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

/// An attribute that `tracing-opentelemetry` gives to each event, and others do not.
const LEVEL: &str = "level";

/// A span processor before another one, for servers whose spans are made by `tracing`: a server span of
/// [`TraceLayer`](crate::TraceLayer) is an error if the request has failed.
///
/// `tracing-opentelemetry` makes every span an error in which an event of level ERROR stands, and has no setting against it; and
/// a status that is Error once cannot be taken back while the span is open. So it is taken back when the span has ended: of a
/// server span of the layer's that names no failure (`error.type`), where such an event stands in it. The event stays. Spans
/// inside of handlers keep the status that they have.
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
    /// What it does before `next` gets the span.
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
        if is_wrongly_an_error(&span) {
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

/// Whoever sets the status by hand names no event of `tracing`, and the layer names each failure.
fn is_wrongly_an_error(span: &SpanData) -> bool {
    let has = |attributes: &[KeyValue], key| attributes.iter().any(|attribute| attribute.key.as_str() == key);
    matches!(span.status, Status::Error { .. })
        && span.span_kind == SpanKind::Server
        && has(&span.attributes, keys::SERVER_FIRST_BYTE_MS)
        && !has(&span.attributes, attribute::ERROR_TYPE)
        && span.events.iter().any(|event| has(&event.attributes, LEVEL))
}
