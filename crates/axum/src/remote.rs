//! The context that a request brings, or that is made up for it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use opentelemetry::{
    Context, SpanId as OtelSpanId, TraceFlags, TraceId, global,
    propagation::Extractor,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use throughline_context::SpanId;

use crate::layer::Settings;

static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// The flag of W3C Trace Context level 2 for trace ids that end in random bytes.
const RANDOM: TraceFlags = TraceFlags::new(0x02);

/// What came with a request.
pub(crate) struct Incoming {
    /// The caller's span and its baggage, if there are any, above what surrounds the layer.
    pub(crate) context: Context,
    /// The caller's span; `None` without a valid one.
    pub(crate) parent_id: Option<SpanId>,
}

/// Reads the headers by the layer's own propagator, or else by the global one.
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

/// A parent for the span of a document request. The page takes its id for the span of its own request, so that the page load is
/// the root and this server's span its child.
pub(crate) fn made_up() -> (Context, SpanId) {
    let parent_id = loop {
        // One in 2^64 is no valid id.
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

/// Headers as a propagator reads them.
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

/// A value as a text. One that is none still counts, as a value that no format allows: beside a second `traceparent` the first is
/// not valid, and a list with it is malformed.
fn text(value: &HeaderValue) -> &str {
    std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}")
}

/// Whether a browser asks for a page: the one request that cannot carry a context, because the page is not there yet.
pub(crate) fn asks_for_document(request: &Parts) -> bool {
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
