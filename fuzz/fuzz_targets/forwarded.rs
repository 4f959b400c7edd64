//! Arbitrary forwarding headers: untrusted peers are ignored, and accepted values are valid in a request to a server.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use throughline_axum::{Forwarded, IpNet};

const NAMES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

fuzz_target!(|lines: Vec<(u8, Vec<u8>)>| {
    let mut headers = HeaderMap::new();
    for (name, value) in &lines {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]), value);
        }
    }
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let trusted: IpNet = "10.0.0.0/8".parse().unwrap();
    let found = Forwarded::read(&headers, peer, &[trusted]);
    assert!(found.scheme.is_none_or(|scheme| ["http", "https"].contains(&scheme)));
    assert!(found.host.is_none_or(|host| !host.host().is_empty() && !host.as_str().contains('@')));
    let untrusted = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(Forwarded::read(&headers, untrusted, &[trusted]), Forwarded::default());
    assert_eq!(Forwarded::read(&headers, peer, &[]), Forwarded::default());
    // An accepted client address is one of the claimed ones.
    assert!(found.client.is_none() || Forwarded::claims(&headers).any(|claim| claim == found.client));
});
