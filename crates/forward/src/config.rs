//! What a sink is told.

use crate::{Sampling, Secret, endpoint};
use std::{fmt, time::Duration};
use url::Url;

/// An OTLP/HTTP upstream and what it takes.
#[derive(Clone)]
pub struct OtlpSink {
    /// The name of its cursor in the store: as long as it stays the same, delivery goes on where it was.
    pub name: String,
    /// The full address that spans are posted to, such as [`traces_endpoint`](crate::traces_endpoint) makes.
    pub endpoint: Url,
    /// The full address that log records are posted to, such as [`logs_endpoint`](crate::logs_endpoint) makes; without it
    /// they stay in the store. They have a cursor of their own, `<name>/logs`.
    pub logs_endpoint: Option<Url>,
    /// Sent with every request; the values are not shown anywhere.
    pub headers: Vec<(String, Secret)>,
    /// Spans, or log records, in one request. 512.
    pub max_spans: usize,
    /// Bytes of one request before compression. 1,000,000; a single one that is larger is sent by itself.
    pub max_bytes: usize,
    /// Whether what pages report is moved into the server's clock where the offset is known; each record that was moved says
    /// by how much (`throughline.clock.shift_ms`). What is stored stays as it was. No.
    pub align_clocks: bool,
    /// Which traces go on; all without it. It is about spans: log records all go on.
    pub sampling: Option<Sampling>,
}

impl OtlpSink {
    /// Without log records and headers, with limits that suit Honeycomb.
    #[must_use]
    pub fn new(name: impl Into<String>, endpoint: Url) -> Self {
        Self {
            name: name.into(),
            endpoint,
            logs_endpoint: None,
            headers: Vec::new(),
            max_spans: 512,
            max_bytes: 1_000_000,
            align_clocks: false,
            sampling: None,
        }
    }
}

/// Names only: a URL's own `Debug` shows its password.
impl fmt::Debug for OtlpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSink")
            .field("name", &self.name)
            .field("endpoint", &endpoint::shown(&self.endpoint))
            .field("logs_endpoint", &self.logs_endpoint.as_ref().map(endpoint::shown))
            .field("headers", &self.headers)
            .field("max_spans", &self.max_spans)
            .field("max_bytes", &self.max_bytes)
            .field("align_clocks", &self.align_clocks)
            .field("is_sampled", &self.sampling.is_some())
            .finish()
    }
}

/// When things happen.
#[derive(Clone, Copy, Debug)]
pub struct ForwardConfig {
    /// How long what is new waits for more, so that one request carries them all. 200 ms.
    pub linger: Duration,
    /// How long a connection may take. 10 s.
    pub connect_timeout: Duration,
    /// How long a request may take from its start to the end of its answer. 60 s.
    pub request_timeout: Duration,
    /// Between failures.
    pub backoff: BackoffConfig,
    /// A `Retry-After` is honoured up to this. 15 min.
    pub max_retry_after: Duration,
    /// How often a refused key is tried again. 60 s.
    pub auth_probe: Duration,
    /// How often log records are offered again to an upstream that has no address for them. 15 min.
    pub absent_probe: Duration,
    /// How long [`Forwarder::shutdown`](crate::Forwarder::shutdown) goes on delivering. 5 s.
    pub shutdown_timeout: Duration,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(200),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            backoff: BackoffConfig::default(),
            max_retry_after: Duration::from_mins(15),
            auth_probe: Duration::from_secs(60),
            absent_probe: Duration::from_mins(15),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Exponential backoff: each failure doubles the wait; half of it is left to chance, so that many do not come at once.
#[derive(Clone, Copy, Debug)]
pub struct BackoffConfig {
    /// The longest first wait. 1 s.
    pub initial: Duration,
    /// The longest wait of all. 60 s.
    pub max: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let mut sink = OtlpSink::new("a", "https://user:s3cret@example.com/v1/traces?key=s3cret".parse().unwrap());
        sink.logs_endpoint = Some("https://user:s3cret@example.com/v1/logs?key=s3cret".parse().unwrap());
        sink.headers = vec![("x-honeycomb-team".to_owned(), Secret::new("s3cret"))];
        let shown = format!("{sink:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("x-honeycomb-team"), "{shown}");
    }
}
