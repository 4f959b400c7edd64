//! Which pages may send (Fetch, section 3.1 `Origin`; Fetch Metadata, `Sec-Fetch-Site`).

use http::{HeaderMap, Uri, header};

/// Origins in the form that a browser sends: no trailing slash, lower case.
#[derive(Clone, Debug)]
pub(crate) struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase()).collect())
    }

    /// Whether the request comes from a page of this server, from one that is allowed, or from no page at all.
    ///
    /// A program that is no browser can claim any origin: this protects people from other people's pages, no more.
    pub(crate) fn admit(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => !is_cross_site(headers),
            (Some(_), Some(_)) => false,
            (Some(origin), None) => {
                // What is no text is no origin.
                let Ok(origin) = origin.to_str() else { return false };
                let origin = origin.to_ascii_lowercase();
                // A proxy before us may change `Host`; what the browser itself says of the site it does not change, and
                // no page can set it.
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
    headers.get("sec-fetch-site").is_some_and(|said| said == site)
}

/// Whether host and port of the origin are those that the request was sent to: `Host`, in HTTP/2 `:authority`.
fn is_own(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    let Some((scheme @ ("http" | "https"), authority)) = origin.split_once("://") else { return false };
    let asked = match headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(http::uri::Authority::as_str),
    };
    let Some(asked) = asked else { return false };
    let asked = asked.to_ascii_lowercase();
    // A browser leaves the default port out, others may not.
    let default = if scheme == "https" { ":443" } else { ":80" };
    !authority.is_empty() && authority == asked.strip_suffix(default).unwrap_or(&asked)
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
        AllowedOrigins::new(&["https://Shop.example/".to_owned()]).admit(&headers, &Uri::from_static("/v1/ingest-token"))
    }

    #[test]
    fn who_may() {
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
    fn who_may_not() {
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
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("app.example"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!AllowedOrigins::new(&[]).admit(&headers, &Uri::from_static("/v1/ingest-token")));
    }

    #[test]
    fn http_2_has_the_host_in_the_address() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        let origins = AllowedOrigins::new(&[]);
        assert!(origins.admit(&headers, &Uri::from_static("https://app.example/v1/ingest-token")));
        assert!(!origins.admit(&headers, &Uri::from_static("https://other.example/v1/ingest-token")));
    }
}
