//! The context that a request brings, or that is made up for it.

use http::{HeaderName, Method, header, request::Parts};
use opentelemetry::Context;
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent, TraceState};

use crate::propagator::{self, Incoming};

static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The client's span and its baggage, above what surrounds the layer.
pub(crate) fn read(request: &Parts) -> Incoming {
    propagator::from_headers(&Context::current(), &request.headers)
}

/// A parent for the span of a document request. The page takes its id for the span of its own request, so that the page load is
/// the root and this server's span its child.
pub(crate) fn made_up() -> Option<(Context, SpanId)> {
    let parent = TraceParent::new(
        TraceId::from_bytes(rand::random())?,
        SpanId::from_bytes(rand::random())?,
        TraceFlags::SAMPLED | TraceFlags::RANDOM,
    );
    Some((propagator::with_remote_parent(&Context::current(), parent, TraceState::default()), parent.parent_id))
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
