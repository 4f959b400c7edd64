//! The environment variables that the OpenTelemetry specification defines for OTLP exporters. Variables of the signal
//! take precedence over the general ones.

use std::{env, time::Duration};

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::endpoint::{Compression, ConfigError, Endpoint, PATH, address, header};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
const COMPRESSION: &str = "OTEL_EXPORTER_OTLP_COMPRESSION";
const TRACES_COMPRESSION: &str = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";

/// The settings from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) endpoint: Endpoint,
    pub(crate) timeout: Option<Duration>,
}

impl Environment {
    pub(crate) fn read() -> Result<Self, ConfigError> {
        Self::of(|name| match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(ConfigError::NotUnicode(name)),
        })
    }

    fn of(variable: impl Fn(&'static str) -> Result<Option<String>, ConfigError>) -> Result<Self, ConfigError> {
        // The specification treats an empty value as unset.
        let set = |name| -> Result<Option<(&'static str, String)>, ConfigError> {
            let value = variable(name)?.map(|value| value.trim().to_owned());
            Ok(value.filter(|value| !value.is_empty()).map(|value| (name, value)))
        };
        let first = |signal, general| Ok(set(signal)?.or(set(general)?));

        if let Some((name, value)) = first(TRACES_PROTOCOL, PROTOCOL)?
            && value != "http/protobuf"
        {
            return Err(ConfigError::Protocol { name, value });
        }
        let mut endpoint = Endpoint::default();
        if let Some((name, value)) = set(TRACES_ENDPOINT)? {
            endpoint.uri = address(name, &value)?;
        } else if let Some((name, value)) = set(ENDPOINT)? {
            endpoint.uri = below(name, &value)?;
        }
        for name in [HEADERS, TRACES_HEADERS] {
            if let Some((name, list)) = set(name)? {
                add_headers(&mut endpoint, name, &list)?;
            }
        }
        if let Some((name, value)) = first(TRACES_COMPRESSION, COMPRESSION)? {
            endpoint.compression = match value.as_str() {
                "gzip" => Some(Compression::Gzip),
                "none" => None,
                _ => return Err(ConfigError::Compression { name, value }),
            };
        }
        let mut timeout = None;
        if let Some((name, value)) = first(TRACES_TIMEOUT, TIMEOUT)? {
            let Some(milliseconds) = value.parse().ok().filter(|milliseconds| *milliseconds > 0) else {
                return Err(ConfigError::Timeout { name, value });
            };
            timeout = Some(Duration::from_millis(milliseconds));
        }
        Ok(Self { endpoint, timeout })
    }
}

/// Appends the signal's path to a base URL, which may have a path itself.
fn below(name: &'static str, base: &str) -> Result<Uri, ConfigError> {
    // The base must be a valid URL without the path.
    address(name, base)?;
    address(name, &format!("{}{PATH}", base.trim_end_matches('/')))
}

/// Parses a list in W3C Baggage format without properties: `name=value`, separated by commas, values percent-encoded.
fn add_headers(endpoint: &mut Endpoint, name: &'static str, list: &str) -> Result<(), ConfigError> {
    for (index, entry) in (1..).zip(list.split(',')).filter(|(_, entry)| !entry.trim().is_empty()) {
        let (key, value) = entry.split_once('=').ok_or(ConfigError::Headers { name, index })?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let (key, value) = header(name, index, key.trim(), &value)?;
        endpoint.headers.insert(key, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, ConfigError> {
        Environment::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        })
    }

    fn uri(variables: &[(&str, &str)]) -> String {
        read(variables).unwrap().endpoint.uri.to_string()
    }

    #[test]
    fn the_traces_endpoint_is_used_unchanged_and_the_general_one_is_a_base() {
        assert_eq!(uri(&[]), "http://localhost:4318/v1/traces");
        for (base, expected) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://a.example/otlp/", "https://a.example/otlp/v1/traces"),
        ] {
            assert_eq!(uri(&[(ENDPOINT, base)]), expected);
        }
        for endpoint in ["http://collector:4318/", "https://a.example/own?x=1"] {
            assert_eq!(uri(&[(ENDPOINT, "http://other"), (TRACES_ENDPOINT, endpoint)]), endpoint);
        }
        for wrong in ["collector:4318", "ftp://a.example", "/v1/traces", "http://"] {
            let error = read(&[(ENDPOINT, wrong)]).unwrap_err();
            assert!(matches!(&error, ConfigError::Endpoint { name: ENDPOINT, value } if value == wrong), "{error}");
        }
    }

    #[test]
    fn headers_are_decoded_and_traces_headers_take_precedence() {
        let environment = read(&[
            (HEADERS, "authorization=Bearer%20a%2Cb, x-team = blue,,"),
            (TRACES_HEADERS, "x-team=red,x-equals=a=b"),
        ])
        .unwrap();
        let headers = &environment.endpoint.headers;
        assert_eq!(headers["authorization"], "Bearer a,b");
        assert_eq!((&headers["x-team"], &headers["x-equals"]), (&"red".parse().unwrap(), &"a=b".parse().unwrap()));
        assert!(headers["authorization"].is_sensitive());
        assert!(!format!("{environment:?}").contains("Bearer"));
        for wrong in ["secret", "a=1,b c=secret", "a=secret%0A"] {
            let error = read(&[(HEADERS, wrong)]).unwrap_err();
            assert!(matches!(error, ConfigError::Headers { name: HEADERS, .. }));
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn timeout_compression_and_protocol_are_read() {
        let environment = read(&[(TIMEOUT, "1500"), (COMPRESSION, "gzip"), (PROTOCOL, "http/protobuf")]).unwrap();
        assert_eq!(environment.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(environment.endpoint.compression, Some(Compression::Gzip));
        let signal = [(TIMEOUT, "1"), (TRACES_TIMEOUT, "2"), (COMPRESSION, "gzip"), (TRACES_COMPRESSION, "none")];
        let environment = read(&signal).unwrap();
        assert_eq!(environment.timeout, Some(Duration::from_millis(2)));
        assert_eq!(environment.endpoint.compression, None);
        assert_eq!(read(&[(TIMEOUT, ""), (ENDPOINT, " ")]).unwrap(), Environment::default());
        for wrong in [(TIMEOUT, "10s"), (TIMEOUT, "0"), (COMPRESSION, "zstd"), (TRACES_PROTOCOL, "grpc")] {
            let error = read(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(wrong.0) && error.contains(wrong.1), "{error}");
        }
    }
}
