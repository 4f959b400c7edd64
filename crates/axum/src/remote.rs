//! What asks for a page, and the context that is made up for it.

use http::{Method, header, request::Parts};
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent};

/// A parent for the span of a document request. The page takes its id for the span of its own request, so that the page load
/// is the root and this server's span its child.
pub(crate) fn made_up() -> Option<TraceParent> {
    Some(TraceParent::new(
        TraceId::from_bytes(rand::random())?,
        SpanId::from_bytes(rand::random())?,
        TraceFlags::SAMPLED | TraceFlags::RANDOM,
    ))
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
