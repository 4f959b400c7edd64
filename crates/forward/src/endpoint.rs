//! The URLs of an upstream (OpenTelemetry Protocol Exporter, "Endpoint URLs for OTLP/HTTP").

use throughline_otlp::Signal;
use url::Url;

/// The reason that a text is not a valid endpoint. The text is not part of the message, because it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is not a URL.
    #[error("the endpoint is not a URL: {0}")]
    Url(#[source] url::ParseError),
    /// The scheme is neither `http` nor `https`.
    #[error("the endpoint must begin with http:// or https://")]
    Scheme,
}

/// Returns the URL for traces below a base URL, as for `OTEL_EXPORTER_OTLP_ENDPOINT`: `v1/traces` is appended to the path. A
/// fragment is removed.
///
/// # Errors
/// [`EndpointError`] if the base is not a valid URL.
pub fn traces_endpoint(base: &str) -> Result<Url, EndpointError> {
    signal_endpoint(base, Signal::Traces)
}

/// Returns the URL for logs below a base URL: as [`traces_endpoint`], with `v1/logs`.
///
/// # Errors
/// [`EndpointError`] if the base is not a valid URL.
pub fn logs_endpoint(base: &str) -> Result<Url, EndpointError> {
    signal_endpoint(base, Signal::Logs)
}

/// Returns the URL for metrics below a base URL: as [`traces_endpoint`], with `v1/metrics`.
///
/// # Errors
/// [`EndpointError`] if the base is not a valid URL.
pub fn metrics_endpoint(base: &str) -> Result<Url, EndpointError> {
    signal_endpoint(base, Signal::Metrics)
}

fn signal_endpoint(base: &str, signal: Signal) -> Result<Url, EndpointError> {
    let mut url = Url::parse(base.trim()).map_err(EndpointError::Url)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EndpointError::Scheme);
    }
    let path = format!("{}{}", url.path().trim_end_matches('/'), signal.path());
    url.set_path(&path);
    url.set_fragment(None);
    Ok(url)
}

/// Returns the URL for display: without user, password, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        let removed = url.set_username("").and_then(|()| url.set_password(None));
        removed.expect("a URL with a user or a password has a host, so that they can be removed");
    }
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_appended() {
        for (base, full) in [
            ("https://api.honeycomb.io", "https://api.honeycomb.io/v1/traces"),
            ("https://api.honeycomb.io/", "https://api.honeycomb.io/v1/traces"),
            ("https://api.eu1.honeycomb.io:443/", "https://api.eu1.honeycomb.io/v1/traces"),
            (" http://127.0.0.1:4318 ", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/mycollector", "http://collector:4318/mycollector/v1/traces"),
            ("http://collector:4318/mycollector/", "http://collector:4318/mycollector/v1/traces"),
            ("http://collector/otlp?token=a#b", "http://collector/otlp/v1/traces?token=a"),
        ] {
            assert_eq!(traces_endpoint(base).unwrap().as_str(), full);
            assert_eq!(logs_endpoint(base).unwrap().as_str(), full.replace("/v1/traces", "/v1/logs"));
            assert_eq!(metrics_endpoint(base).unwrap().as_str(), full.replace("/v1/traces", "/v1/metrics"));
        }
    }

    #[test]
    fn an_invalid_endpoint_is_rejected() {
        for base in ["", "api.honeycomb.io", "/v1/traces", "http://", "https://exa mple"] {
            assert!(matches!(traces_endpoint(base), Err(EndpointError::Url(_))), "{base}");
        }
        for base in ["grpc://localhost:4317", "localhost:4318", "file:///etc/passwd", "unix:/run/otlp"] {
            assert_eq!(traces_endpoint(base), Err(EndpointError::Scheme), "{base}");
        }
    }

    #[test]
    fn a_displayed_url_has_no_secrets() {
        let url = traces_endpoint("https://user:secret@example.com/otlp?token=secret").unwrap();
        assert_eq!(shown(&url), "https://example.com/otlp/v1/traces");
    }
}
