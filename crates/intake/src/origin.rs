//! The check of the origin of browser requests (Fetch, section 3.1 `Origin`; Fetch Metadata, `Sec-Fetch-Site`).

use http::{HeaderMap, Uri, header};

/// The allowed origins, as a browser sends them: in lower case, without a trailing slash.
#[derive(Clone, Debug)]
pub(crate) struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase()).collect())
    }

    /// Returns whether the request comes from a page of this server, from a page of an allowed origin, or from no page.
    ///
    /// Programs other than browsers can send any origin: the check only protects users of browsers from pages of other
    /// sites.
    pub(crate) fn admit(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => !is_cross_site(headers),
            (Some(_), Some(_)) => false,
            (Some(origin), None) => {
                // A header that is not text is not an origin.
                let Ok(origin) = origin.to_str() else { return false };
                let origin = origin.to_ascii_lowercase();
                // A proxy may change `Host`, but it does not change `Sec-Fetch-Site`, which pages cannot set.
                self.0.contains(&origin)
                    || site_is(headers, "same-origin")
                    || (is_own(&origin, headers, uri) && !is_cross_site(headers))
            }
        }
    }
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    site_is(headers, "cross-site")
}

fn site_is(headers: &HeaderMap, site: &str) -> bool {
    headers.get("sec-fetch-site").is_some_and(|value| value == site)
}

/// Returns whether the origin has the host and port to which the request was sent: `Host`, or `:authority` in HTTP/2.
fn is_own(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    let Some((scheme @ ("http" | "https"), authority)) = origin.split_once("://") else { return false };
    let target = match headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(http::uri::Authority::as_str),
    };
    let Some(target) = target else { return false };
    let target = target.to_ascii_lowercase();
    // A browser leaves the default port out; other clients may not.
    let default = if scheme == "https" { ":443" } else { ":80" };
    !authority.is_empty() && authority == target.strip_suffix(default).unwrap_or(&target)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn admit(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        AllowedOrigins::new(&["https://Shop.example/".to_owned()])
            .admit(&headers, &Uri::from_static("/v1/ingest-token"))
    }

    #[test]
    fn own_and_allowed_origins_are_accepted() {
        let host = ("host", "app.example:3000");
        assert!(admit(&[host]));
        assert!(admit(&[host, ("origin", "http://app.example:3000")]));
        assert!(admit(&[host, ("origin", "http://app.example:3000"), ("sec-fetch-site", "same-origin")]));
        assert!(admit(&[("host", "APP.example:443"), ("origin", "https://app.example")]));
        assert!(admit(&[host, ("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")]));
        let behind_a_proxy = ("host", "127.0.0.1");
        assert!(admit(&[behind_a_proxy, ("origin", "http://app.example:3000"), ("sec-fetch-site", "same-origin")]));
        assert!(!admit(&[behind_a_proxy, ("origin", "http://app.example:3000"), ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn other_origins_are_rejected() {
        let host = ("host", "app.example:3000");
        for origin in [
            "null",
            "",
            "http://",
            "http://app.example",
            "http://app.example:3001",
            "http://app.example:3000.evil.example",
            "file://app.example:3000",
            "https://evil.example",
            "http://shop.example",
        ] {
            assert!(!admit(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!admit(&[("origin", "http://app.example:3000")]), "no host to compare with");
        assert!(!admit(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!admit(&[host, ("origin", "http://app.example:3000"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn two_origin_headers_are_rejected() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("app.example"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!AllowedOrigins::new(&[]).admit(&headers, &Uri::from_static("/v1/ingest-token")));
    }

    #[test]
    fn the_host_of_an_http_2_request_is_its_authority() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        let origins = AllowedOrigins::new(&[]);
        assert!(origins.admit(&headers, &Uri::from_static("https://app.example/v1/ingest-token")));
        assert!(!origins.admit(&headers, &Uri::from_static("https://other.example/v1/ingest-token")));
    }
}
