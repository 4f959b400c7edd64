//! The host of a request.

use http::{header, request::Parts};

/// A host, and its port if present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'r> {
    pub(crate) name: &'r str,
    pub(crate) port: Option<u16>,
}

/// The bytes allowed in a host (RFC 3986 §3.2.2). A lookup table, because every request has a host.
const IS_HOST: [bool; 256] = {
    let (mut is_host, mut byte) = ([false; 256], 0);
    while byte < 256 {
        is_host[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=%[]:";
    let mut other = 0;
    while other < others.len() {
        is_host[others[other] as usize] = true;
        other += 1;
    }
    is_host
};

impl<'r> Host<'r> {
    /// Reads the host from `:authority`, the absolute request target, or `Host`.
    pub(crate) fn from_request(request: &'r Parts) -> Option<Self> {
        if let Some(authority) = request.uri.authority() {
            return Some(Self { name: authority.host(), port: authority.port_u16() });
        }
        Self::read(request.headers.get(header::HOST)?.to_str().ok()?)
    }

    fn read(text: &'r str) -> Option<Self> {
        // IPv6 addresses are in brackets; no other host contains a colon.
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        (!name.is_empty() && name.bytes().all(|byte| IS_HOST[usize::from(byte)])).then_some(Self { name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_split() {
        let some = |name, port| Some(Host { name, port });
        assert_eq!(Host::read("a.example"), some("a.example", None));
        assert_eq!(Host::read("a.example:8080"), some("a.example", Some(8080)));
        assert_eq!(Host::read("[::1]"), some("[::1]", None));
        assert_eq!(Host::read("[::1]:80"), some("[::1]", Some(80)));
        for invalid in ["", ":80", "a:b", "a:99999", "user@a.example", "a/b"] {
            assert_eq!(Host::read(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_request_target_takes_precedence_over_the_header() {
        let host = |uri: &str| {
            let request = http::Request::get(uri).header("host", "b.example:81").body(()).unwrap().into_parts().0;
            Host::from_request(&request).map(|host| (host.name.to_owned(), host.port))
        };
        assert_eq!(host("http://a.example:80/"), Some(("a.example".to_owned(), Some(80))));
        assert_eq!(host("/"), Some(("b.example".to_owned(), Some(81))));
    }
}
