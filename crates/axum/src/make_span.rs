//! What the span says of a request, by the OpenTelemetry semantic conventions for HTTP servers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::ConnectInfo;
use http::{Method, header, request::Parts};
use opentelemetry::{KeyValue, Value, baggage::BaggageExt, trace::TraceContextExt};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::{SpanId, redact_query};

use crate::{
    forwarded::{self, Forwarded},
    layer::Settings,
    metrics::{Labels, protocol_version},
    policy::{RemoteParent, Route, matched},
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
pub(crate) const OTHER: &str = "_OTHER";

/// Room for all attributes that a request and its response have, so that the list does not grow. More would leave the sizes that
/// allocators keep at hand for each thread.
const ATTRIBUTES: usize = 18;

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
    if let Some((host, port)) = match &forwarded.host {
        Some(host) => Some((host.host(), host.port_u16())),
        None => asked_host(request),
    } {
        push(attribute::SERVER_ADDRESS, host.to_owned().into());
        if let Some(port) = port {
            push(attribute::SERVER_PORT, i64::from(port).into());
        }
    }
    if let Some(peer) = peer {
        let address = printed(peer.ip());
        let client = forwarded.client.filter(|client| *client != peer.ip());
        let client = client.map_or_else(|| Arc::clone(&address), printed);
        push(attribute::CLIENT_ADDRESS, Value::String(client.into()));
        push(attribute::NETWORK_PEER_ADDRESS, Value::String(address.into()));
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

/// The host that the client asked for, and its port: `:authority`, the address in absolute form, or `Host`.
fn asked_host(request: &Parts) -> Option<(&str, Option<u16>)> {
    if let Some(authority) = request.uri.authority() {
        return Some((authority.host(), authority.port_u16()));
    }
    let text = request.headers.get(header::HOST)?.to_str().ok()?;
    // What is an address of version 6 stands in brackets; no other host has a colon.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%[]:".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_host)).then_some((host, port))
}

/// An address as a text that attributes can share.
fn printed(address: IpAddr) -> Arc<str> {
    /// As long as the longest of version 4.
    struct Text([u8; 15], usize);
    impl Text {
        fn push(&mut self, byte: u8) {
            if let Some(place) = self.0.get_mut(self.1) {
                *place = byte;
                self.1 += 1;
            }
        }
    }
    let IpAddr::V4(address) = address else { return address.to_string().into() };
    // By hand: each request has one, and formatting takes longer than all else that is done for an attribute.
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
    std::str::from_utf8(text.0.get(..text.1).unwrap_or_default()).unwrap_or_default().into()
}

/// Where the span hangs, and the span of the client: its own, or the one made up for a document.
pub(crate) fn origin(request: &Parts, settings: &Settings) -> (Origin, Option<SpanId>) {
    let incoming = remote::read(request);
    let is_continued = || match settings.remote_parent.remote_parent(request) {
        RemoteParent::Always => true,
        RemoteParent::Ticketed => settings.tickets.vouch_for(request),
        RemoteParent::Never => false,
    };
    if let Some(parent_id) = incoming.parent_id {
        return if is_continued() {
            (Origin::Below(incoming.context), Some(parent_id))
        } else {
            (Origin::Link(incoming.context.span().span_context().clone()), None)
        };
    }
    if settings.documents.traces(request)
        && let Some((context, made_up)) = remote::made_up()
    {
        return (Origin::Below(context), Some(made_up));
    }
    // Baggage comes without a parent too.
    if !incoming.context.baggage().is_empty() && is_continued() {
        return (Origin::Below(incoming.context), None);
    }
    (Origin::Here, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_everywhere() {
        for address in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "10.99.100.9", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(*printed(address), address.to_string());
        }
    }

    #[test]
    fn the_host_is_divided_from_its_port() {
        let asked = |host: &str| {
            let request = http::Request::get("/").header("host", host).body(()).unwrap().into_parts().0;
            asked_host(&request).map(|(host, port)| (host.to_owned(), port))
        };
        let some = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(asked("a.example"), some("a.example", None));
        assert_eq!(asked("a.example:8080"), some("a.example", Some(8080)));
        assert_eq!(asked("[::1]"), some("[::1]", None));
        assert_eq!(asked("[::1]:80"), some("[::1]", Some(80)));
        for nonsense in ["", ":80", "a:b", "a:99999", "user@a.example", "a/b"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
    }
}
