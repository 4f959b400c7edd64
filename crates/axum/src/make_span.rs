//! The span of a request, by the OpenTelemetry semantic conventions for HTTP servers.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::{Method, Version, header, request::Parts};
use opentelemetry::{Context, baggage::BaggageExt, trace::TraceContextExt};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent, TraceState, redact_query};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    layer::Settings,
    policy::RemoteParent,
    propagator::{self, Incoming, with_remote_parent},
};

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The span that asked: the client's, or the one made up for a document.
    pub(crate) client_span: Option<SpanId>,
}

/// Methods that stand in names and attributes as they are; any other is `_OTHER`.
pub(crate) const KNOWN: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

pub(crate) fn make_span(request: &Parts, settings: &Settings) -> (Span, Caller) {
    let known = KNOWN.contains(&request.method);
    // The conventions name a span with an unknown method `HTTP`.
    let name_method = if known { request.method.as_str() } else { "HTTP" };
    let route = settings.route_of(request);
    let route = route.as_deref();
    let name = route.map_or_else(|| name_method.to_owned(), |route| format!("{name_method} {route}"));
    let span = tracing::info_span!(
        target: "throughline::http",
        "http.server",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
    );

    let mut caller = Caller { client_span: None };
    let Incoming { context: incoming, parent_id } = propagator::from_headers(&request.headers);
    match (parent_id, settings.remote_parent) {
        // Fails only where no OpenTelemetry layer listens: then there is no span to have a parent.
        (Some(_), RemoteParent::Always) => {
            caller.client_span = parent_id;
            drop(span.set_parent(incoming));
        }
        (Some(_), RemoteParent::Never) => span.add_link(incoming.span().span_context().clone()),
        (None, _) if settings.documents.traces(request) => {
            if let Some(made_up) = made_up_parent() {
                caller.client_span = Some(made_up.parent_id);
                drop(span.set_parent(with_remote_parent(&Context::new(), made_up, TraceState::default())));
            }
        }
        // Baggage comes without a parent too.
        (None, RemoteParent::Always) if !incoming.baggage().is_empty() => drop(span.set_parent(incoming)),
        (None, _) => {}
    }
    describe(&span, request, known, route);
    (span, caller)
}

fn describe(span: &Span, request: &Parts, known: bool, route: Option<&str>) {
    span.set_attribute(
        attribute::HTTP_REQUEST_METHOD,
        if known { request.method.to_string() } else { "_OTHER".to_owned() },
    );
    if !known {
        span.set_attribute(attribute::HTTP_REQUEST_METHOD_ORIGINAL, request.method.to_string());
    }
    if let Some(route) = route {
        span.set_attribute(attribute::HTTP_ROUTE, route.to_owned());
    }
    span.set_attribute(attribute::URL_PATH, request.uri.path().to_owned());
    span.set_attribute(attribute::URL_SCHEME, request.uri.scheme_str().unwrap_or("http").to_owned());
    if let Some(query) = request.uri.query() {
        span.set_attribute(attribute::URL_QUERY, redact_query(query));
    }
    let authority = request
        .uri
        .authority()
        .map(ToString::to_string)
        .or_else(|| Some(request.headers.get(header::HOST)?.to_str().ok()?.to_owned()));
    if let Some(authority) = authority.and_then(|text| text.parse::<http::uri::Authority>().ok()) {
        span.set_attribute(attribute::SERVER_ADDRESS, authority.host().to_owned());
        if let Some(port) = authority.port_u16() {
            span.set_attribute(attribute::SERVER_PORT, i64::from(port));
        }
    }
    if let Some(ConnectInfo(peer)) = request.extensions.get::<ConnectInfo<SocketAddr>>() {
        span.set_attribute(attribute::CLIENT_ADDRESS, peer.ip().to_string());
        span.set_attribute(attribute::NETWORK_PEER_ADDRESS, peer.ip().to_string());
        span.set_attribute(attribute::NETWORK_PEER_PORT, i64::from(peer.port()));
    }
    if let Some(agent) = request.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        span.set_attribute(attribute::USER_AGENT_ORIGINAL, agent.to_owned());
    }
    let version = match request.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return,
    };
    span.set_attribute(attribute::NETWORK_PROTOCOL_VERSION, version);
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

/// A parent for the span of a document request. The page takes its id for the span of its own request, so that the page load
/// is the root and this server's span its child.
fn made_up_parent() -> Option<TraceParent> {
    Some(TraceParent::new(
        TraceId::from_bytes(rand::random())?,
        SpanId::from_bytes(rand::random())?,
        TraceFlags::SAMPLED | TraceFlags::RANDOM,
    ))
}
