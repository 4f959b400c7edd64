//! The trace context of a request: the one that it carries, or one generated for a page.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use opentelemetry::{
    Context, SpanId as OtelSpanId, TraceFlags, TraceId, global,
    propagation::Extractor,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use throughline_context::SpanId;

use crate::layer::Settings;

static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// The random-trace-id flag of W3C Trace Context Level 2.
const RANDOM: TraceFlags = TraceFlags::new(0x02);

/// The trace context that a request carries.
pub(crate) struct Incoming {
    /// The current context with the caller's span and baggage, if there are any.
    pub(crate) context: Context,
    /// The caller's span id; `None` without a valid `traceparent`.
    pub(crate) parent_id: Option<SpanId>,
}

/// Extracts the context with the layer's own propagator, or else with the global one.
pub(crate) fn read(request: &Parts, settings: &Settings) -> Incoming {
    let surrounding = Context::current();
    let headers = Headers(&request.headers);
    let context = match &settings.propagator {
        Some(propagator) => propagator.extract_with_context(&surrounding, &headers),
        None => global::get_text_map_propagator(|propagator| propagator.extract_with_context(&surrounding, &headers)),
    };
    let parent_id = {
        let span = context.span();
        let caller = span.span_context();
        let is_caller = caller.is_valid() && caller.is_remote();
        if is_caller { SpanId::from_bytes(caller.span_id().to_bytes()) } else { None }
    };
    Incoming { context, parent_id }
}

/// Generates a parent for the span of a document request. The page uses its id for its own span, so that the page load
/// is the root span and the server span its child.
pub(crate) fn generate_parent() -> (Context, SpanId) {
    let parent_id = loop {
        // One value in 2^64 is not a valid id.
        if let Some(id) = SpanId::from_bytes(rand::random()) {
            break id;
        }
    };
    let trace_id = loop {
        let id = TraceId::from_bytes(rand::random());
        if id != TraceId::INVALID {
            break id;
        }
    };
    let page = SpanContext::new(
        trace_id,
        OtelSpanId::from_bytes(parent_id.to_bytes()),
        TraceFlags::SAMPLED | RANDOM,
        true,
        TraceState::NONE,
    );
    (Context::current().with_remote_span_context(page), parent_id)
}

/// The headers of a request as an [`Extractor`].
struct Headers<'r>(&'r HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(text)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }

    fn get_all(&self, name: &str) -> Option<Vec<&str>> {
        let values: Vec<_> = self.0.get_all(name).iter().map(text).collect();
        if values.is_empty() { None } else { Some(values) }
    }
}

/// Returns a value as text. A value that is not UTF-8 becomes text that is invalid in every format, so that it is not
/// ignored: a second `traceparent` makes the first one invalid, and a list that contains such a value is malformed.
fn text(value: &HeaderValue) -> &str {
    std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}")
}

/// Returns whether a browser requests a document. This is the one request that cannot carry a trace context, because
/// the page does not exist yet.
pub(crate) fn is_document_request(request: &Parts) -> bool {
    if request.method != Method::GET {
        return false;
    }
    match request.headers.get(&SEC_FETCH_DEST) {
        Some(destination) => destination == "document",
        None => request
            .headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html")),
    }
}
