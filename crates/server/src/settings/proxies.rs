//! The setting of the proxies whose forwarding headers are trusted.

use std::net::IpAddr;

use throughline_axum::IpNet;

use super::values::{List, OFF};

/// The length of the prefix of an IPv4-mapped IPv6 address, in bits (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Parses networks and addresses separated by commas, or `off`.
pub(super) fn trusted_proxies(text: &str) -> Result<List<IpNet>, String> {
    let text = text.trim();
    if text == OFF {
        return Ok(List(Vec::new()));
    }
    // An empty entry is an error, unlike in other lists: a missing entry would change which proxies are trusted.
    text.split(',').map(|entry| network(entry.trim())).collect::<Result<_, _>>().map(List)
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        format!("`{text}` is not a network such as 10.0.0.0/8 or an address such as 10.0.0.1; use `off` for no proxies")
    })?;
    // Peer addresses are compared in their IPv4 form where they have one, also on an IPv6 socket.
    let mapped = match network.addr() {
        IpAddr::V6(address) => address.to_ipv4_mapped().zip(network.prefix_len().checked_sub(MAPPED_BITS)),
        IpAddr::V4(_) => None,
    };
    let network = mapped.and_then(|(address, bits)| IpNet::new(address.into(), bits).ok()).unwrap_or(network);
    Ok(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_parsed() {
        let read = |text: &str| trusted_proxies(text).unwrap().0.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(read("127.0.0.0/8,::1"), ["127.0.0.0/8", "::1/128"]);
        assert_eq!(read(" 10.1.2.3/8 , fd00::1/8,192.0.2.1 "), ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]);
        assert_eq!(read("::ffff:10.0.0.0/104,::ffff:192.0.2.1"), ["10.0.0.0/8", "192.0.2.1/32"]);
        assert!(read("off").is_empty());
    }

    #[test]
    fn an_invalid_network_is_rejected() {
        for text in ["", "proxy.example", "10.0.0.0/33", "10.0.0.1:80", "10.0.0.1,", "10.0.0.0/8;::1", "all", "[::1]"] {
            assert!(trusted_proxies(text).is_err(), "{text}");
        }
    }
}
