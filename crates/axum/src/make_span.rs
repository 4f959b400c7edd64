//! What the span says of a request, by the OpenTelemetry semantic conventions for HTTP servers.

use std::{net::SocketAddr, sync::Arc};

use axum::extract::ConnectInfo;
use http::{Method, header, request::Parts, uri::Authority};
use opentelemetry::{Context, KeyValue, StringValue, Value, baggage::BaggageExt, trace::TraceContextExt};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::{SpanId, TraceState, redact_query};

use crate::{
    forwarded::{self, Forwarded},
    layer::Settings,
    metrics::{Labels, protocol_version},
    policy::{RemoteParent, Route, matched},
    propagator::{self, Incoming, with_remote_parent},
    remote,
    routes::KnownRoute,
    span::Origin,
};

/// Methods that stand in names and attributes as they are; any other is `_OTHER`.
pub(crate) const KNOWN: [(Method, &str); 9] = [
    (Method::GET, "GET"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::DELETE, "DELETE"),
    (Method::HEAD, "HEAD"),
    (Method::OPTIONS, "OPTIONS"),
    (Method::PATCH, "PATCH"),
    (Method::CONNECT, "CONNECT"),
    (Method::TRACE, "TRACE"),
];
const OTHER: &str = "_OTHER";

/// Room for all attributes that a request and its response can have, so that the list does not grow.
const ATTRIBUTES: usize = 20;

/// A request, described.
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) labels: Labels,
}

pub(crate) fn describe(request: &Parts, settings: &Settings) -> Description {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let forwarded = match peer {
        Some(peer) => Forwarded::read(&request.headers, peer.ip(), &settings.trusted_proxies),
        None => Forwarded::default(),
    };
    let known = KNOWN.iter().find(|(method, _)| *method == request.method).map(|(_, text)| *text);
    let labels = Labels {
        method: known.unwrap_or(OTHER),
        scheme: forwarded.scheme.or_else(|| forwarded::scheme(request.uri.scheme_str()?)).unwrap_or("http"),
        version: protocol_version(request.version),
        route: route(request, settings),
    };

    let mut attributes = Vec::with_capacity(ATTRIBUTES);
    let mut push = |key: &'static str, value: Value| attributes.push(KeyValue::new(key, value));
    push(attribute::HTTP_REQUEST_METHOD, labels.method.into());
    if known.is_none() {
        push(attribute::HTTP_REQUEST_METHOD_ORIGINAL, request.method.as_str().to_owned().into());
    }
    if let Some(route) = &labels.route {
        push(attribute::HTTP_ROUTE, Value::String(Arc::clone(&route.template).into()));
    }
    push(attribute::URL_SCHEME, labels.scheme.into());
    push(attribute::URL_PATH, request.uri.path().to_owned().into());
    if let Some(query) = request.uri.query() {
        push(attribute::URL_QUERY, redact_query(query).into());
    }
    match &forwarded.host {
        Some(host) => push_server(host.host(), host.port_u16(), &mut push),
        None => match request.uri.authority() {
            Some(authority) => push_server(authority.host(), authority.port_u16(), &mut push),
            None => {
                let host = request.headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
                if let Some(host) = host {
                    push_server(host.host(), host.port_u16(), &mut push);
                }
            }
        },
    }
    if let Some(peer) = peer {
        // Once as a text, where both are the same.
        let address: Arc<str> = peer.ip().to_string().into();
        let client = forwarded.client.filter(|client| *client != peer.ip());
        let client = client.map_or_else(|| StringValue::from(Arc::clone(&address)), |ip| ip.to_string().into());
        push(attribute::CLIENT_ADDRESS, Value::String(client));
        push(attribute::NETWORK_PEER_ADDRESS, Value::String(address.into()));
        push(attribute::NETWORK_PEER_PORT, i64::from(peer.port()).into());
    }
    if let Some(agent) = request.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        push(attribute::USER_AGENT_ORIGINAL, agent.to_owned().into());
    }
    if let Some(version) = labels.version {
        push(attribute::NETWORK_PROTOCOL_VERSION, version.into());
    }
    settings.request_headers.record(&request.headers, &mut attributes);
    settings.make_span.make_span(request, &mut attributes);

    // The conventions name a span with an unknown method `HTTP`.
    let method = known.unwrap_or("HTTP");
    let name = match &labels.route {
        Some(route) => [method, " ", &route.template].concat(),
        None => method.to_owned(),
    };
    Description { name, attributes, labels }
}

fn route(request: &Parts, settings: &Settings) -> Option<KnownRoute> {
    let matched = matched(request);
    match settings.route.template(matched, request) {
        Route::Matched => matched.map(|template| settings.routes.get(template)),
        Route::Template(template) => Some(settings.routes.get(&template)),
        Route::Nothing => None,
    }
}

fn push_server(host: &str, port: Option<u16>, push: &mut impl FnMut(&'static str, Value)) {
    push(attribute::SERVER_ADDRESS, host.to_owned().into());
    if let Some(port) = port {
        push(attribute::SERVER_PORT, i64::from(port).into());
    }
}

/// Where the span hangs, and the span of the client: its own, or the one made up for a document.
pub(crate) fn origin(request: &Parts, settings: &Settings) -> (Origin, Option<SpanId>) {
    let is_continued = || match settings.remote_parent.remote_parent(request) {
        RemoteParent::Always => true,
        RemoteParent::Ticketed => settings.tickets.vouch_for(request),
        RemoteParent::Never => false,
    };
    let Incoming { context, parent_id } = propagator::from_headers(&Context::current(), &request.headers);
    if parent_id.is_some() {
        return if is_continued() {
            (Origin::Remote(context), parent_id)
        } else {
            (Origin::Link(context.span().span_context().clone()), None)
        };
    }
    if settings.documents.traces(request)
        && let Some(made_up) = remote::made_up()
    {
        let context = with_remote_parent(&Context::current(), made_up, TraceState::default());
        return (Origin::Remote(context), Some(made_up.parent_id));
    }
    // Baggage comes without a parent too, and is believed as one would be.
    if !context.baggage().is_empty() && is_continued() {
        return (Origin::Remote(context), None);
    }
    (Origin::Here, None)
}
