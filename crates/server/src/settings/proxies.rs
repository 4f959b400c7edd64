//! Whose word counts about who asks.

use std::net::IpAddr;

use throughline_axum::IpNet;

use super::{SettingError, wrong};

const SETTING: &str = "--trusted-proxies / THROUGHLINE_TRUSTED_PROXIES";
const OFF: &str = "off";
/// By so many bits begins an address of version 4 that is written as one of version 6, RFC 4291 §2.5.5.2.
const MAPPED_BITS: u8 = 96;

/// Networks and addresses, separated by commas; `off` for none.
pub(super) fn trusted_proxies(text: &str) -> Result<Vec<IpNet>, SettingError> {
    let text = text.trim();
    if text == OFF {
        return Ok(Vec::new());
    }
    text.split(',').map(str::trim).map(network).collect()
}

fn network(text: &str) -> Result<IpNet, SettingError> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        let reason = format!("`{text}` is neither a network such as 10.0.0.0/8 nor an address such as 10.0.0.1");
        wrong(SETTING, reason)
    })?;
    // Peers are known by their addresses of version 4, whatever the socket's.
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
    fn networks_and_addresses() {
        let read = |text: &str| trusted_proxies(text).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(read("127.0.0.0/8,::1"), ["127.0.0.0/8", "::1/128"]);
        assert_eq!(read(" 10.1.2.3/8 , fd00::1/8,192.0.2.1 "), ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]);
        assert_eq!(read("::ffff:10.0.0.0/104,::ffff:192.0.2.1"), ["10.0.0.0/8", "192.0.2.1/32"]);
        assert!(read("off").is_empty());
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["", "proxy.example", "10.0.0.0/33", "10.0.0.1:80", "10.0.0.1,", "10.0.0.0/8;::1", "all", "[::1]"] {
            let error = trusted_proxies(text).unwrap_err().to_string();
            assert!(error.contains("--trusted-proxies"), "{text}: {error}");
        }
    }
}
