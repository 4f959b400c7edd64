//! The client's address behind proxies: RFC 7239 `Forwarded`, and the older `X-Forwarded-*` headers.
//!
//! Any client can send these headers, so they are evaluated hop by hop from the near end: the peer's entry is used if
//! the peer is a trusted proxy, the entry before it if that hop is trusted too, and so on. The first untrusted address
//! is the client.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header, uri::Authority};
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
/// A header of some proxies, with the client's address only.
const X_REAL_IP: &str = "x-real-ip";

/// The maximum number of hops read, from the near end. Longer chains are not sent by real proxies.
const MAX_HOPS: usize = 32;

/// The client's address, scheme and host, as reported by trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The client's address; `None` if it is the peer's address.
    pub client: Option<IpAddr>,
    /// The scheme of the client's request: `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The host of the client's request, with its port.
    pub host: Option<Authority>,
}

/// One hop's entry about the hop before it.
#[derive(Clone, Copy, Debug, Default)]
struct Hop<'h> {
    client: Option<&'h str>,
    scheme: Option<&'h str>,
    host: Option<&'h str>,
}

impl Forwarded {
    /// Reads the headers of a request from `peer`. They are ignored unless `peer` is in `trusted`. If a `Forwarded`
    /// header is present, `X-Forwarded-*` are ignored. Invalid values are treated as absent.
    #[must_use]
    pub fn read(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
        if trusted.is_empty() || !is_trusted(peer) {
            return Self::default();
        }
        if headers.contains_key(header::FORWARDED) {
            let hops = values(headers, header::FORWARDED.as_str()).flat_map(|value| split(value, b',').rev()).map(hop);
            return Self::walk(hops, is_trusted);
        }
        let list = |name: &'static str| values(headers, name).flat_map(|value| split(value, b',').rev()).map(str::trim);
        // Proxies append to the list of addresses, but most overwrite scheme and host: if there is one value per hop
        // the values belong to the hops, otherwise the last value is the nearest proxy's.
        let count = list(X_FORWARDED_FOR).take(MAX_HOPS).count();
        let at = |name: &'static str, index: usize| {
            let of_this_hop = list(name).take(MAX_HOPS).count() == count;
            list(name).nth(if of_this_hop { index } else { 0 })
        };
        let hops = list(X_FORWARDED_FOR).enumerate().map(|(index, client)| Hop {
            client: Some(client),
            scheme: at(X_FORWARDED_PROTO, index),
            host: at(X_FORWARDED_HOST, index),
        });
        if count > 0 {
            return Self::walk(hops, is_trusted);
        }
        let alone = Hop { client: None, scheme: at(X_FORWARDED_PROTO, 0), host: at(X_FORWARDED_HOST, 0) };
        Self::walk(std::iter::once(alone), is_trusted)
    }

    /// Returns the client addresses that the headers of a request claim: those of `Forwarded`, then of
    /// `X-Forwarded-For`, then of `X-Real-IP`, each with the nearest hop first. `None` is an entry that is invalid or
    /// hides the client's address. The claims are not verified: use them to reject a request, never to trust one.
    pub fn claims(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
        let elements = move |name: &'static str| {
            // An invalid value counts as one hop without an address, so that it is not overlooked.
            let values = headers.get_all(name).iter().rev().map(|value| value.to_str().unwrap_or(""));
            values.flat_map(|value| split(value, b',').rev())
        };
        let forwarded = elements(header::FORWARDED.as_str()).map(|element| hop(element).client.and_then(address));
        let lists = [X_FORWARDED_FOR, X_REAL_IP].into_iter().flat_map(elements).map(|text| address(text.trim()));
        forwarded.chain(lists)
    }

    /// Walks the hops from the near end, while each reported address is itself a trusted proxy.
    fn walk<'h>(hops: impl Iterator<Item = Hop<'h>>, is_trusted: impl Fn(IpAddr) -> bool) -> Self {
        let mut found = Self::default();
        for hop in hops.take(MAX_HOPS) {
            let client = hop.client.and_then(address);
            // A hidden or invalid address ends the chain: entries before it come from an unknown sender.
            if let Some(client) = client {
                found.client = Some(client);
            }
            found.scheme = hop.scheme.and_then(scheme).or(found.scheme);
            found.host = hop.host.and_then(host).or(found.host);
            if !client.is_some_and(&is_trusted) {
                break;
            }
        }
        found
    }
}

/// Returns the values of a header, the last first.
fn values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().rev().filter_map(|value| value.to_str().ok())
}

/// Splits a list at `divider`, except inside quotes.
fn split(text: &str, divider: u8) -> impl DoubleEndedIterator<Item = &str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == divider && !quoted => {
                parts.push(text.get(start..at).expect("dividers are ASCII"));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).expect("dividers are ASCII"));
    parts.into_iter()
}

/// Parses one element of `Forwarded` (RFC 7239 §4).
fn hop(element: &str) -> Hop<'_> {
    let mut hop = Hop::default();
    for pair in split(element, b';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let place = match name.trim() {
            name if name.eq_ignore_ascii_case("for") => &mut hop.client,
            name if name.eq_ignore_ascii_case("proto") => &mut hop.scheme,
            name if name.eq_ignore_ascii_case("host") => &mut hop.host,
            _ => continue,
        };
        // Each parameter occurs at most once (§4).
        place.get_or_insert(value);
    }
    hop
}

/// Parses an address with or without a port (RFC 7239 §6); `None` for `unknown` and obfuscated identifiers.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

/// Parses `http` or `https`; nothing else, because the scheme is a metric label.
pub(crate) fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn host(text: &str) -> Option<Authority> {
    text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)], peer: &str) -> (Option<String>, Option<&'static str>, Option<String>) {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let found = Forwarded::read(&headers, peer.parse().unwrap(), &trusted);
        (found.client.map(|ip| ip.to_string()), found.scheme, found.host.map(|host| host.to_string()))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn headers_from_an_untrusted_peer_are_ignored() {
        let headers = [("forwarded", "for=192.0.2.1;proto=https;host=a.example"), (X_FORWARDED_FOR, "192.0.2.1")];
        assert_eq!(read(&headers, "203.0.113.9"), (None, None, None));
    }

    #[test]
    fn forwarded_is_read_with_quotes_ports_and_any_case() {
        let value = "For=\"[2001:db8::1]:4711\";Proto=HTTPS;by=10.0.0.2;host=\"a.example:8443\"";
        let expected = (some("2001:db8::1"), Some("https"), some("a.example:8443"));
        assert_eq!(read(&[("forwarded", value)], "10.0.0.1"), expected);
        assert_eq!(read(&[("forwarded", "for=\"[2001:db8::1]\"")], "::ffff:10.0.0.1").0, some("2001:db8::1"));
    }

    #[test]
    fn the_client_is_the_first_hop_that_is_not_a_trusted_proxy() {
        // The client can have written the entries before it.
        let list = "198.51.100.66, 192.0.2.1, 10.0.0.7";
        assert_eq!(read(&[(X_FORWARDED_FOR, list)], "10.0.0.1").0, some("192.0.2.1"));
        let headers =
            [("forwarded", "for=198.51.100.66, for=192.0.2.1;proto=https"), ("forwarded", "for=10.0.0.7;proto=http")];
        assert_eq!(read(&headers, "10.0.0.1"), (some("192.0.2.1"), Some("https"), None));
        assert_eq!(read(&[(X_FORWARDED_FOR, "10.0.0.8, 10.0.0.7")], "10.0.0.1").0, some("10.0.0.8"));
    }

    #[test]
    fn a_hidden_client_ends_the_chain() {
        assert_eq!(read(&[("forwarded", "for=192.0.2.1, for=_hidden")], "10.0.0.1").0, None);
        assert_eq!(read(&[(X_FORWARDED_FOR, "192.0.2.1, unknown, 10.0.0.7")], "10.0.0.1").0, some("10.0.0.7"));
    }

    #[test]
    fn scheme_and_host_belong_to_the_clients_hop() {
        let with = |proto, host| {
            read(
                &[(X_FORWARDED_FOR, "192.0.2.1, 10.0.0.7"), (X_FORWARDED_PROTO, proto), (X_FORWARDED_HOST, host)],
                "10.0.0.1",
            )
        };
        assert_eq!(with("https, http", "a.example, inner"), (some("192.0.2.1"), Some("https"), some("a.example")));
        assert_eq!(with("https", "a.example"), (some("192.0.2.1"), Some("https"), some("a.example")));
        assert_eq!(with("gopher", "a b"), (some("192.0.2.1"), None, None));
        let alone = [(X_FORWARDED_PROTO, "https")];
        assert_eq!(read(&alone, "10.0.0.1"), (None, Some("https"), None));
    }

    #[test]
    fn claims_contain_all_addresses_of_all_headers() {
        let claims = |pairs: &[(&str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            Forwarded::claims(&headers).map(|claim| claim.map(|ip| ip.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(claims(&[("host", "a.example")]), []);
        assert_eq!(
            claims(&[
                ("x-forwarded-for", "127.0.0.1, 192.0.2.1"),
                ("forwarded", "for=_x, for=\"[::1]:80\";proto=https")
            ]),
            [some("::1"), None, some("192.0.2.1"), some("127.0.0.1")]
        );
        assert_eq!(claims(&[("forwarded", "proto=https"), ("x-real-ip", " 192.0.2.7 ")]), [None, some("192.0.2.7")]);
        assert_eq!(claims(&[("x-forwarded-for", "")]), [None]);
    }

    #[test]
    fn commas_in_quotes_do_not_split() {
        let value = "for=192.0.2.1;secret=\"a, for=198.51.100.66\"";
        assert_eq!(read(&[("forwarded", value)], "10.0.0.1").0, some("192.0.2.1"));
    }
}
