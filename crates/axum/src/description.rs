//! The name and attributes of a server span, by the OpenTelemetry semantic conventions for HTTP servers.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use axum::extract::ConnectInfo;
use http::{header, request::Parts};
use opentelemetry::{KeyValue, Value, baggage::BaggageExt, trace::TraceContextExt};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::{SpanId, redact_query};

use crate::{
    forwarded::{self, Forwarded},
    host::Host,
    layer::Settings,
    metrics::Labels,
    policy::{RemoteParent, Route, matched},
    remote,
    routes::KnownRoute,
    span::Origin,
};

/// The capacity for the attributes of a usual request and response, so that the list does not grow. A larger capacity
/// would only cost memory.
const ATTRIBUTES: usize = 14;

/// The name, attributes and metric labels of a request.
pub(crate) struct Description {
    pub(crate) name: Cow<'static, str>,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) labels: Labels,
}

pub(crate) fn describe(request: &Parts, settings: &Settings) -> Description {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let forwarded = match peer {
        Some(peer) => Forwarded::read(&request.headers, peer.ip(), &settings.trusted_proxies),
        None => Forwarded::default(),
    };
    let scheme = forwarded.scheme.or_else(|| forwarded::scheme(request.uri.scheme_str()?)).unwrap_or("http");
    let labels = Labels::new(&request.method, scheme, request.version, route(request, settings));
    let known = labels.known_method();

    let mut attributes = Vec::with_capacity(ATTRIBUTES);
    let mut push = |key: &'static str, value: Value| attributes.push(KeyValue::new(key, value));
    push(attribute::HTTP_REQUEST_METHOD, labels.method().into());
    if known.is_none() {
        push(attribute::HTTP_REQUEST_METHOD_ORIGINAL, request.method.as_str().to_owned().into());
    }
    if let Some(route) = &labels.route {
        push(attribute::HTTP_ROUTE, route.text().into());
    }
    push(attribute::URL_SCHEME, labels.scheme().into());
    push(attribute::URL_PATH, request.uri.path().to_owned().into());
    if let Some(query) = request.uri.query() {
        push(attribute::URL_QUERY, redact_query(query).into());
    }
    let host = match &forwarded.host {
        Some(host) => Some(Host { name: host.host(), port: host.port_u16() }),
        None => Host::from_request(request),
    };
    if let Some(Host { name, port }) = host {
        push(attribute::SERVER_ADDRESS, name.to_owned().into());
        if let Some(port) = port {
            push(attribute::SERVER_PORT, i64::from(port).into());
        }
    }
    if let Some(peer) = peer {
        let client = forwarded.client.filter(|client| *client != peer.ip());
        push(attribute::CLIENT_ADDRESS, format_address(client.unwrap_or(peer.ip())).into());
        // Without a proxy it would only repeat `client.address`.
        if client.is_some() {
            push(attribute::NETWORK_PEER_ADDRESS, format_address(peer.ip()).into());
        }
    }
    if let Some(agent) =
        request.headers.get(header::USER_AGENT).and_then(|agent| std::str::from_utf8(agent.as_bytes()).ok())
    {
        push(attribute::USER_AGENT_ORIGINAL, agent.to_owned().into());
    }
    if let Some(version) = labels.version() {
        push(attribute::NETWORK_PROTOCOL_VERSION, version.into());
    }
    settings.request_headers.record(&request.headers, &mut attributes);
    settings.on_request.on_request(request, &mut attributes);

    Description { name: labels.span_name(), attributes, labels }
}

fn route(request: &Parts, settings: &Settings) -> Option<KnownRoute> {
    let matched = matched(request);
    match settings.route.template(matched, request) {
        Route::Matched => matched.map(|template| settings.metrics().routes.get(template)),
        Route::Template(template) => Some(settings.metrics().routes.get(&template)),
        Route::Nothing => None,
    }
}

/// Formats an address into a string without spare capacity, because shrinking it takes longer than formatting it.
fn format_address(address: IpAddr) -> String {
    /// Holds the longest IPv4 address.
    struct Text([u8; 15], usize);
    impl Text {
        fn push(&mut self, byte: u8) {
            if let Some(place) = self.0.get_mut(self.1) {
                *place = byte;
                self.1 += 1;
            }
        }
    }
    let IpAddr::V4(address) = address else { return address.to_string() };
    // Formatted by hand: each request has an address, and `fmt` would take longer than all other work for an
    // attribute.
    let mut text = Text([0; 15], 0);
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    let digits = text.0.get(..text.1).expect("the buffer holds the longest address");
    std::str::from_utf8(digits).expect("digits and dots are UTF-8").to_owned()
}

/// Returns the parent of the server span, and the span id of the client: the received one, or the one generated for a
/// document.
pub(crate) fn origin(request: &Parts, settings: &Settings) -> (Origin, Option<SpanId>) {
    let incoming = remote::read(request, settings);
    let is_continued = || match settings.remote_parent.remote_parent(request) {
        RemoteParent::Always => true,
        RemoteParent::Trusted => settings.trust_parent.trusts(request),
        RemoteParent::Never => false,
    };
    if let Some(parent_id) = incoming.parent_id {
        return if is_continued() {
            (Origin::Below(incoming.context), Some(parent_id))
        } else {
            (Origin::Link(incoming.context.span().span_context().clone()), None)
        };
    }
    if settings.documents.traces(request) {
        let (context, page_span) = remote::generate_parent();
        return (Origin::Below(context), Some(page_span));
    }
    // Baggage can arrive without a parent.
    if !incoming.context.baggage().is_empty() && is_continued() {
        return (Origin::Below(incoming.context), None);
    }
    (Origin::Here, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_formatted_as_by_the_standard_library() {
        for address in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "10.99.100.9", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(format_address(address), address.to_string());
        }
    }
}
