//! The context that a request brings, or that is made up for it.

use http::{HeaderValue, Method, header, request::Parts};
use opentelemetry::trace::{SpanContext, TraceFlags, TraceState as OtelTraceState};
use throughline_context::{SpanId, TraceFlags as Flags, TraceId, TraceParent, TraceState};

/// A parent elsewhere.
pub(crate) struct Remote {
    pub(crate) context: SpanContext,
    pub(crate) parent_id: SpanId,
}

impl Remote {
    /// The client's span, by W3C Trace Context.
    pub(crate) fn read(request: &Parts) -> Option<Self> {
        let parents = request.headers.get_all("traceparent").iter().map(HeaderValue::as_bytes);
        let parent = TraceParent::from_headers(parents)?;
        let mut states = request.headers.get_all("tracestate").iter().map(HeaderValue::as_bytes).peekable();
        let state = if states.peek().is_some() {
            let state = TraceState::parse_headers(states).ok();
            let pairs = state.iter().flat_map(TraceState::iter);
            OtelTraceState::from_key_value(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())))
                .unwrap_or_default()
        } else {
            OtelTraceState::NONE
        };
        Some(Self::new(parent, state))
    }

    /// A parent for the span of a document request. The page takes its id for the span of its own request, so that the page
    /// load is the root and this server's span its child.
    pub(crate) fn made_up() -> Option<Self> {
        let parent = TraceParent::new(
            TraceId::from_bytes(rand::random())?,
            SpanId::from_bytes(rand::random())?,
            Flags::SAMPLED | Flags::RANDOM,
        );
        Some(Self::new(parent, OtelTraceState::NONE))
    }

    fn new(parent: TraceParent, state: OtelTraceState) -> Self {
        let context = SpanContext::new(
            opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes()),
            opentelemetry::SpanId::from_bytes(parent.parent_id.to_bytes()),
            TraceFlags::new(parent.flags.bits()),
            true,
            state,
        );
        Self { context, parent_id: parent.parent_id }
    }
}

/// Whether a browser asks for a page: the one request that cannot carry a context, because the page is not there yet.
pub(crate) fn asks_for_document(request: &Parts) -> bool {
    if request.method != Method::GET {
        return false;
    }
    match request.headers.get("sec-fetch-dest") {
        Some(destination) => destination == "document",
        None => request
            .headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html")),
    }
}
