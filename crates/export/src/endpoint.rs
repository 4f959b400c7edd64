//! The URL, headers and compression of the requests.

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use thiserror::Error;

/// The signal's path relative to a base endpoint.
pub(crate) const PATH: &str = "/v1/traces";
const DEFAULT: &str = "http://localhost:4318/v1/traces";

/// The compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// `Content-Encoding: gzip`; requires the Cargo feature `gzip`.
    Gzip,
}

/// An invalid exporter setting. Never contains the value of a header.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not an `http` or `https` URL with a host.
    #[error("{name}: `{value}` is not an http or https URL, such as http://localhost:4318")]
    Endpoint {
        /// The name of the variable, or `endpoint`.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Not `name=value`, or not a valid header name or value.
    #[error("{name}: entry {index} is not a valid header; expected `name=value` with a percent-encoded value")]
    Headers {
        /// The name of the variable, or `header`.
        name: &'static str,
        /// The position in the list, from 1.
        index: usize,
    },
    /// Not a number of milliseconds.
    #[error("{name}: `{value}` is not a number of milliseconds above 0")]
    Timeout {
        /// The name of the variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Neither `gzip` nor `none`.
    #[error("{name}: `{value}` is not supported; expected gzip or none")]
    Compression {
        /// The name of the variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// `gzip` was selected and the Cargo feature `gzip` is off.
    #[error("gzip is not compiled into this program; enable the feature `gzip` of throughline-export")]
    NoGzip,
    /// A protocol other than `http/protobuf`.
    #[error("{name}: `{value}` is not supported; expected http/protobuf")]
    Protocol {
        /// The name of the variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The variable is not UTF-8.
    #[error("{0} is not valid UTF-8")]
    NotUnicode(&'static str),
}

/// The target of the requests.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) compression: Option<Compression>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { uri: Uri::from_static(DEFAULT), headers: HeaderMap::new(), compression: None }
    }
}

/// Omits header values, which are usually credentials.
impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        formatter
            .debug_struct("Endpoint")
            .field("uri", &self.uri)
            .field("headers", &names)
            .field("compression", &self.compression)
            .finish()
    }
}

/// Parses an absolute `http` or `https` URL.
pub(crate) fn address(name: &'static str, value: &str) -> Result<Uri, ConfigError> {
    let is_absolute = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    let uri = value.parse::<Uri>().ok().filter(is_absolute);
    uri.ok_or_else(|| ConfigError::Endpoint { name, value: value.to_owned() })
}

/// Parses a header and marks its value as sensitive.
pub(crate) fn header(
    name: &'static str,
    index: usize,
    key: &str,
    value: &[u8],
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let invalid = || ConfigError::Headers { name, index };
    let key = HeaderName::from_str(key).map_err(|_| invalid())?;
    let mut value = HeaderValue::from_bytes(value).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok((key, value))
}
