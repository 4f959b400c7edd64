//! The span of a request, by the OpenTelemetry semantic conventions for HTTP servers.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use http::{Method, Version, header, request::Parts};
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState as OtelTraceState},
};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::{SpanId, TraceFlags as Flags, TraceId, TraceParent, TraceState, redact_query};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{layer::Settings, policy::RemoteParent};

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The span that asked: the client's, or the one made up for a document.
    pub(crate) client_span: Option<SpanId>,
}

/// Methods that stand in names and attributes as they are; any other is `_OTHER`.
const KNOWN: [Method; 9] = [
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
    match (remote_context(request), settings.remote_parent) {
        (Some((remote, parent_id)), RemoteParent::Always) => {
            caller.client_span = Some(parent_id);
            // Fails only where no OpenTelemetry layer listens: then there is no span to have a parent.
            let _ = span.set_parent(Context::new().with_remote_span_context(remote));
        }
        (Some((remote, _)), RemoteParent::Never) => span.add_link(remote),
        (None, _) if settings.documents.traces(request) => {
            if let Some((remote, parent_id)) = made_up_parent() {
                caller.client_span = Some(parent_id);
                let _ = span.set_parent(Context::new().with_remote_span_context(remote));
            }
        }
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

/// The client's span, by W3C Trace Context.
fn remote_context(request: &Parts) -> Option<(SpanContext, SpanId)> {
    let parents = request.headers.get_all("traceparent").iter().map(http::HeaderValue::as_bytes);
    let parent = TraceParent::from_headers(parents)?;
    let states = request.headers.get_all("tracestate").iter().map(http::HeaderValue::as_bytes);
    let state = TraceState::parse_headers(states)
        .ok()
        .and_then(|state| {
            OtelTraceState::from_key_value(state.iter().map(|(key, value)| (key.to_owned(), value.to_owned()))).ok()
        })
        .unwrap_or_default();
    Some((span_context(parent, state), parent.parent_id))
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
fn made_up_parent() -> Option<(SpanContext, SpanId)> {
    let parent = TraceParent::new(
        TraceId::from_bytes(rand::random())?,
        SpanId::from_bytes(rand::random())?,
        Flags::SAMPLED | Flags::RANDOM,
    );
    Some((span_context(parent, OtelTraceState::default()), parent.parent_id))
}

fn span_context(parent: TraceParent, state: OtelTraceState) -> SpanContext {
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes()),
        opentelemetry::SpanId::from_bytes(parent.parent_id.to_bytes()),
        TraceFlags::new(parent.flags.bits()),
        true,
        state,
    )
}
