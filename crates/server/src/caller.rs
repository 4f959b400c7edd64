//! Who asks, and how: decided once for each request, for all that depend on it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::{ConnectInfo, Request};
use http::{HeaderMap, uri::Authority};
use throughline_axum::{Forwarded, IpNet};
use throughline_intake::ClientAddress;

/// An extension of every request to the pages' address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// Whether the client speaks TLS, to a trusted proxy before us.
    pub(crate) is_over_tls: bool,
    /// Whether the client is on this machine: the peer is, and so is everybody in whose name it says to ask. That the headers
    /// may be anybody's does no harm: they can take this away and not give it.
    pub(crate) is_local: bool,
    /// The host that the client asked a trusted proxy for.
    pub(crate) host: Option<Authority>,
}

impl Caller {
    fn new(headers: &HeaderMap, peer: IpAddr, forwarded: Forwarded) -> Self {
        let mut everybody = std::iter::once(Some(peer)).chain(Forwarded::claims(headers));
        Self {
            is_over_tls: forwarded.scheme == Some("https"),
            is_local: everybody.all(|address| address.is_some_and(|address| address.to_canonical().is_loopback())),
            host: forwarded.host,
        }
    }

    /// What a cookie ends with: it goes over TLS alone where it came that way.
    pub(crate) fn secure(&self) -> &'static str {
        if self.is_over_tls { "; Secure" } else { "" }
    }
}

/// Puts into a request who asks: [`Caller`], and [`ClientAddress`] for the public door.
pub(crate) fn identify(trusted: &Arc<[IpNet]>, mut request: Request) -> Request {
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else { return request };
    let peer = peer.ip();
    let forwarded = Forwarded::read(request.headers(), peer, trusted);
    let client = ClientAddress(forwarded.client.unwrap_or(peer));
    let caller = Caller::new(request.headers(), peer, forwarded);
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(caller);
    request
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn ask(peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = http::Request::get("/").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4711)));
        for (name, value) in headers {
            request.headers_mut().append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        identify(&Arc::from(["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]), request)
    }

    fn is_local(peer: &str, headers: &[(&str, &str)]) -> bool {
        ask(peer, headers).extensions().get::<Caller>().unwrap().is_local
    }

    #[test]
    fn only_who_asks_for_nobody_else_is_local() {
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(peer, &[]), "{peer}");
            assert!(is_local(peer, &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-host", "localhost:3000")]));
            for name in ["x-forwarded-for", "x-real-ip"] {
                for value in ["192.0.2.1", "192.0.2.1, 127.0.0.1", "127.0.0.1, 192.0.2.1", "unknown", ""] {
                    assert!(!is_local(peer, &[(name, value)]), "{name}: {value}");
                }
            }
            for value in ["for=192.0.2.1", "for=127.0.0.1, for=_hidden", "proto=https"] {
                assert!(!is_local(peer, &[("forwarded", value)]), "{value}");
            }
        }
    }

    #[test]
    fn nobody_talks_himself_onto_this_machine() {
        for peer in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            for name in ["x-forwarded-for", "x-real-ip"] {
                assert!(!is_local(peer, &[(name, "127.0.0.1")]), "{peer}");
            }
            assert!(!is_local(peer, &[("forwarded", "for=127.0.0.1")]), "{peer}");
        }
    }

    #[test]
    fn scheme_host_and_client_are_the_trusted_proxys_word() {
        let headers = [("forwarded", "for=192.0.2.7;proto=https;host=a.example")];
        let request = ask("10.0.0.1", &headers);
        let caller = request.extensions().get::<Caller>().unwrap();
        assert_eq!((caller.secure(), caller.host.as_ref().map(Authority::as_str)), ("; Secure", Some("a.example")));
        assert_eq!(request.extensions().get::<ClientAddress>().unwrap().0.to_string(), "192.0.2.7");
        let request = ask("192.0.2.1", &headers);
        let caller = request.extensions().get::<Caller>().unwrap();
        assert_eq!((caller.secure(), &caller.host), ("", &None));
        assert_eq!(request.extensions().get::<ClientAddress>().unwrap().0.to_string(), "192.0.2.1");
    }
}
