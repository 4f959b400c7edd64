//! The client of a request, determined once per request.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use http::{HeaderMap, uri::Authority};
use ipnet::IpNet;
use throughline_axum::Forwarded;

/// The header of proxies that serve an application below a path prefix and strip the prefix.
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

const MAX_PREFIX_BYTES: usize = 256;

/// The client of a request, stored in the extensions of the request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Client {
    /// The address of the client: that of the peer, or the one that a trusted proxy forwards. `None` if the application does
    /// not serve with connect info.
    pub address: Option<IpAddr>,
    /// Whether the client uses TLS, to a trusted proxy in front of the application.
    pub is_over_tls: bool,
    /// Whether the client is on this machine: the peer and every address in the forwarding headers are loopback addresses.
    /// The headers of untrusted peers count too, because they can only make this `false`.
    pub is_local: bool,
    /// The host of the client's request to a trusted proxy.
    pub host: Option<Authority>,
    /// The path prefix that a trusted proxy stripped (`X-Forwarded-Prefix`): empty, or with a leading slash and no trailing
    /// slash.
    pub prefix: String,
}

impl Client {
    fn new(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Self {
        let forwarded = Forwarded::read(headers, peer, trusted);
        let mut all = std::iter::once(Some(peer)).chain(Forwarded::claims(headers));
        let is_trusted = trusted.iter().any(|network| network.contains(&peer.to_canonical()));
        Self {
            address: Some(forwarded.client.unwrap_or(peer)),
            is_over_tls: forwarded.scheme == Some("https"),
            is_local: all.all(|address| address.is_some_and(|address| address.to_canonical().is_loopback())),
            host: forwarded.host,
            prefix: if is_trusted { prefix(headers) } else { String::new() },
        }
    }

    /// Inserts the client into the extensions of a request, unless it has been inserted before.
    ///
    /// `trusted` are the networks of proxies whose forwarding headers are trusted. Without axum's connect info
    /// (`into_make_service_with_connect_info::<SocketAddr>()`), nothing is inserted.
    #[must_use]
    pub fn identify(trusted: &[IpNet], mut request: Request) -> Request {
        if request.extensions().get::<Self>().is_none()
            && let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>()
        {
            let client = Self::new(request.headers(), peer.ip(), trusted);
            request.extensions_mut().insert(client);
        }
        request
    }
}

/// Reads the prefix that a proxy sends. Anything but a plain path is ignored, because the prefix becomes part of a page.
fn prefix(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(FORWARDED_PREFIX).and_then(|value| value.to_str().ok()) else { return String::new() };
    let path = value.trim().trim_end_matches('/');
    if is_base_path(path) { path.to_owned() } else { String::new() }
}

/// Returns whether `path` is a base path: empty, or segments of unreserved characters (RFC 3986, section 2.3), each
/// after a slash.
#[must_use]
pub fn is_base_path(path: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    path.is_empty()
        || path.len() <= MAX_PREFIX_BYTES
            && path.strip_prefix('/').is_some_and(|segments| segments.split('/').all(is_segment))
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
        Client::identify(&["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()], request)
    }

    fn is_local(peer: &str, headers: &[(&str, &str)]) -> bool {
        ask(peer, headers).extensions().get::<Client>().unwrap().is_local
    }

    #[test]
    fn a_local_peer_that_forwards_for_another_address_is_not_local() {
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
    fn headers_cannot_make_a_client_local() {
        for peer in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            for name in ["x-forwarded-for", "x-real-ip"] {
                assert!(!is_local(peer, &[(name, "127.0.0.1")]), "{peer}");
            }
            assert!(!is_local(peer, &[("forwarded", "for=127.0.0.1")]), "{peer}");
        }
    }

    #[test]
    fn scheme_host_and_address_are_read_from_a_trusted_proxy() {
        let headers = [("forwarded", "for=192.0.2.7;proto=https;host=a.example")];
        let request = ask("10.0.0.1", &headers);
        let client = request.extensions().get::<Client>().unwrap();
        assert!(client.is_over_tls);
        assert_eq!(client.host.as_ref().map(Authority::as_str), Some("a.example"));
        assert_eq!(client.address.unwrap().to_string(), "192.0.2.7");
        let request = ask("192.0.2.1", &headers);
        let client = request.extensions().get::<Client>().unwrap();
        assert_eq!((client.is_over_tls, &client.host), (false, &None));
        assert_eq!(client.address.unwrap().to_string(), "192.0.2.1");
    }

    #[test]
    fn the_prefix_is_read_only_from_a_trusted_proxy() {
        let prefix = |peer: &str, value: &str| {
            ask(peer, &[("x-forwarded-prefix", value)]).extensions().get::<Client>().unwrap().prefix.clone()
        };
        assert_eq!(prefix("10.0.0.1", "/tl"), "/tl");
        assert_eq!(prefix("10.0.0.1", "/a/b/"), "/a/b");
        assert_eq!(prefix("192.0.2.1", "/tl"), "");
        for wrong in ["tl", "//evil.example", "/a//b", "/../x", "/a\"b", "/a b", "/<script>", "/", ""] {
            assert_eq!(prefix("10.0.0.1", wrong), "", "{wrong}");
        }
    }
}
