//! Sinks, to which records are forwarded, and the value parsers of their settings.

use secrecy::SecretString;
use throughline_forward::{logs_endpoint, metrics_endpoint, parse_headers, traces_endpoint};
use throughline_store::SinkName;
use url::Url;

use super::values::List;

const HONEYCOMB_TEAM: &str = "x-honeycomb-team";
const MAX_NAME_CHARS: usize = 32;

/// A sink.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) name: SinkName,
    /// The full URL of the traces path.
    pub(crate) endpoint: Url,
    /// The full URL of the logs path.
    pub(crate) logs_endpoint: Url,
    /// The full URL of the metrics path.
    pub(crate) metrics_endpoint: Url,
    pub(crate) headers: Headers,
}

/// Headers of requests to a sink.
pub(crate) type Headers = Vec<(String, SecretString)>;

impl Upstream {
    /// Creates a sink with these URLs and headers, and checks the name.
    pub(super) fn new(name: &str, urls: SignalUrls, headers: Headers) -> Result<Self, &'static str> {
        let is_valid = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
        if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(is_valid) {
            return Err("the name of a sink is 1 to 32 lower-case letters, digits, `-` and `_`");
        }
        let name = SinkName::new(name).expect("a name of these characters is a valid sink name");
        let SignalUrls { traces, logs, metrics } = urls;
        Ok(Self { name, endpoint: traces, logs_endpoint: logs, metrics_endpoint: metrics, headers })
    }

    /// Adds Honeycomb's API key unless the headers already have one.
    pub(super) fn add_honeycomb_key(&mut self, key: &SecretString) {
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(HONEYCOMB_TEAM)) {
            self.headers.push((HONEYCOMB_TEAM.to_owned(), key.clone()));
        }
    }

    /// Returns whether the URL is one of Honeycomb's.
    pub(super) fn is_honeycomb(&self) -> bool {
        self.endpoint.host_str().is_some_and(|host| host.ends_with("honeycomb.io"))
    }
}

/// The URLs of the three signals below the base URL of an OTLP/HTTP receiver.
#[derive(Clone, Debug)]
pub(super) struct SignalUrls {
    traces: Url,
    logs: Url,
    metrics: Url,
}

/// A list of headers, the value of a flag.
#[derive(Clone, Debug)]
pub(super) struct HeaderList(pub(super) Headers);

/// Parses the base URL of an OTLP/HTTP receiver. Errors do not contain it, because it may have a password in it.
pub(super) fn base_url(base: &str) -> Result<SignalUrls, String> {
    let of = |error: throughline_forward::EndpointError| error.to_string();
    Ok(SignalUrls {
        traces: traces_endpoint(base).map_err(of)?,
        logs: logs_endpoint(base).map_err(of)?,
        metrics: metrics_endpoint(base).map_err(of)?,
    })
}

/// Parses `key=value,key=value` with percent-encoded values. Errors name the position of an entry, not its text.
pub(super) fn headers(list: &str) -> Result<HeaderList, String> {
    parse_headers(list).map(HeaderList).map_err(|error| error.to_string())
}

/// Parses `name=URL` entries separated by `;`.
pub(super) fn sinks(text: &str) -> Result<List<Upstream>, String> {
    List::parse(text, ';', |entry| {
        let (name, base) = entry.split_once('=').ok_or("an entry does not have the form `name=URL`")?;
        Upstream::new(name.trim(), base_url(base)?, Headers::new()).map_err(str::to_owned)
    })
}

/// Parses `name:key=value,key=value` entries separated by `;`.
pub(super) fn sink_headers(text: &str) -> Result<List<(String, Headers)>, String> {
    List::parse(text, ';', |entry| {
        let (name, list) = entry.split_once(':').ok_or("an entry does not have the form `name:key=value`")?;
        Ok((name.trim().to_owned(), headers(list)?.0))
    })
}
