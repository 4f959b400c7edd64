//! The configuration of a sink.

use crate::{Sampling, endpoint};
use secrecy::SecretString;
use std::{fmt, time::Duration};
use throughline_store::SinkName;
use url::Url;

/// An OTLP/HTTP upstream, and which records are forwarded to it.
#[derive(Clone)]
#[non_exhaustive]
pub struct OtlpSink {
    /// The name of the sink, which names its cursors in the store: delivery resumes where it left off as long as the name stays
    /// the same.
    pub name: SinkName,
    /// The full URL for spans, see [`traces_endpoint`](crate::traces_endpoint).
    pub endpoint: Url,
    /// The full URL for log records, see [`logs_endpoint`](crate::logs_endpoint). Without it, they are not forwarded. They have
    /// their own cursor.
    pub logs_endpoint: Option<Url>,
    /// The full URL for data points, see [`metrics_endpoint`](crate::metrics_endpoint). Without it, they are not forwarded. They
    /// have their own cursor.
    pub metrics_endpoint: Option<Url>,
    /// Headers that are sent with every request. The values never appear in logs or errors.
    pub headers: Vec<(String, SecretString)>,
    /// The maximum number of spans, log records or data points in one request. Default: 512.
    pub max_spans: usize,
    /// The maximum size of one request before compression, in bytes. A single record that is larger is sent alone. Default:
    /// 1,000,000.
    pub max_bytes: usize,
    /// Whether records from pages are shifted to the server's clock if the offset is known. Each shifted record has the shift in
    /// the attribute `throughline.clock.shift_ms`. Stored records do not change. Default: false.
    pub align_clocks: bool,
    /// Tail sampling of spans; log records and data points are not sampled. Default: none, all spans are sent.
    pub sampling: Option<Sampling>,
}

impl OtlpSink {
    /// Creates a sink for spans, without headers, with limits that suit Honeycomb.
    #[must_use]
    pub fn new(name: SinkName, endpoint: Url) -> Self {
        Self {
            name,
            endpoint,
            logs_endpoint: None,
            metrics_endpoint: None,
            headers: Vec::new(),
            max_spans: 512,
            max_bytes: 1_000_000,
            align_clocks: false,
            sampling: None,
        }
    }

    /// Sets [`OtlpSink::logs_endpoint`].
    #[must_use]
    pub fn with_logs_endpoint(mut self, endpoint: Url) -> Self {
        self.logs_endpoint = Some(endpoint);
        self
    }

    /// Sets [`OtlpSink::metrics_endpoint`].
    #[must_use]
    pub fn with_metrics_endpoint(mut self, endpoint: Url) -> Self {
        self.metrics_endpoint = Some(endpoint);
        self
    }

    /// Adds headers to [`OtlpSink::headers`].
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Sets [`OtlpSink::max_spans`] and [`OtlpSink::max_bytes`].
    #[must_use]
    pub fn with_limits(mut self, max_spans: usize, max_bytes: usize) -> Self {
        self.max_spans = max_spans;
        self.max_bytes = max_bytes;
        self
    }

    /// Sets [`OtlpSink::align_clocks`].
    #[must_use]
    pub fn with_align_clocks(mut self, align_clocks: bool) -> Self {
        self.align_clocks = align_clocks;
        self
    }

    /// Sets [`OtlpSink::sampling`].
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }
}

/// The settings of delivery that are common to all sinks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The name of the sink, which names its cursors in the store: delivery resumes where it left off as long as the name stays
    /// the same.
    pub name: SinkName,
    /// The maximum number of spans, log records or data points in one request. Default: 512.
    pub max_records: usize,
    /// The same setting as [`OtlpSink::align_clocks`]. Default: false.
    pub align_clocks: bool,
    /// The same setting as [`OtlpSink::sampling`].
    pub sampling: Option<Sampling>,
}

impl Delivery {
    /// Creates settings that deliver all records as they are stored.
    #[must_use]
    pub const fn new(name: SinkName) -> Self {
        Self { name, max_records: 512, align_clocks: false, sampling: None }
    }

    /// Sets [`Delivery::max_records`].
    #[must_use]
    pub const fn with_max_records(mut self, max_records: usize) -> Self {
        self.max_records = max_records;
        self
    }

    /// Sets [`Delivery::align_clocks`].
    #[must_use]
    pub const fn with_align_clocks(mut self, align_clocks: bool) -> Self {
        self.align_clocks = align_clocks;
        self
    }

    /// Sets [`Delivery::sampling`].
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }
}

/// Shows no secrets: the `Debug` output of a URL would contain its password.
impl fmt::Debug for OtlpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSink")
            .field("name", &self.name.as_str())
            .field("endpoint", &endpoint::shown(&self.endpoint))
            .field("logs_endpoint", &self.logs_endpoint.as_ref().map(endpoint::shown))
            .field("metrics_endpoint", &self.metrics_endpoint.as_ref().map(endpoint::shown))
            .field("headers", &self.headers)
            .field("max_spans", &self.max_spans)
            .field("max_bytes", &self.max_bytes)
            .field("align_clocks", &self.align_clocks)
            .field("is_sampled", &self.sampling.is_some())
            .finish()
    }
}

/// The timeouts and intervals of a sink.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ForwardConfig {
    /// The time that new records wait for more, so that they are sent in one request. Default: 200 ms.
    pub linger: Duration,
    /// The timeout for establishing a connection. Default: 10 s.
    pub connect_timeout: Duration,
    /// The timeout for a request, from its start to the end of the response. Default: 60 s.
    pub request_timeout: Duration,
    /// The backoff after failures.
    pub backoff: BackoffConfig,
    /// The upper limit for a `Retry-After` of the upstream. Default: 15 min.
    pub max_retry_after: Duration,
    /// The interval between retries with a rejected key. Default: 60 s.
    pub auth_probe: Duration,
    /// The interval between retries of log records and data points for which the upstream has no endpoint. Default: 15 min.
    pub absent_probe: Duration,
    /// The time that [`Forwarder::shutdown`](crate::Forwarder::shutdown) keeps delivering. Default: 5 s.
    pub shutdown_timeout: Duration,
}

impl ForwardConfig {
    /// Sets [`ForwardConfig::linger`].
    #[must_use]
    pub const fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets [`ForwardConfig::connect_timeout`].
    #[must_use]
    pub const fn with_connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// Sets [`ForwardConfig::request_timeout`].
    #[must_use]
    pub const fn with_request_timeout(mut self, request_timeout: Duration) -> Self {
        self.request_timeout = request_timeout;
        self
    }

    /// Sets [`ForwardConfig::max_retry_after`].
    #[must_use]
    pub const fn with_max_retry_after(mut self, max_retry_after: Duration) -> Self {
        self.max_retry_after = max_retry_after;
        self
    }

    /// Sets [`ForwardConfig::auth_probe`].
    #[must_use]
    pub const fn with_auth_probe(mut self, auth_probe: Duration) -> Self {
        self.auth_probe = auth_probe;
        self
    }

    /// Sets [`ForwardConfig::absent_probe`].
    #[must_use]
    pub const fn with_absent_probe(mut self, absent_probe: Duration) -> Self {
        self.absent_probe = absent_probe;
        self
    }

    /// Sets [`ForwardConfig::shutdown_timeout`].
    #[must_use]
    pub const fn with_shutdown_timeout(mut self, shutdown_timeout: Duration) -> Self {
        self.shutdown_timeout = shutdown_timeout;
        self
    }

    /// Sets [`ForwardConfig::backoff`].
    #[must_use]
    pub const fn with_backoff(mut self, backoff: BackoffConfig) -> Self {
        self.backoff = backoff;
        self
    }
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

/// Exponential backoff: each failure doubles the wait. Half of it is random, so that many clients do not retry at the same time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The upper limit for the first wait. Default: 1 s.
    pub initial: Duration,
    /// The upper limit for every wait. Default: 60 s.
    pub max: Duration,
}

impl BackoffConfig {
    /// Creates a backoff with these limits.
    #[must_use]
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max }
    }
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
    fn debug_output_has_no_secrets() {
        let url = |path: &str| format!("https://user:s3cret@example.com{path}?key=s3cret").parse().unwrap();
        let sink = OtlpSink::new(SinkName::new("a").unwrap(), url("/v1/traces"))
            .with_logs_endpoint(url("/v1/logs"))
            .with_metrics_endpoint(url("/v1/metrics"))
            .with_headers([("x-honeycomb-team".to_owned(), SecretString::from("s3cret"))]);
        let shown = format!("{sink:?} {sink:#?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("x-honeycomb-team"), "{shown}");
    }

    #[test]
    fn each_setting_sets_its_own_field() {
        let s = Duration::from_secs;
        let config = ForwardConfig::default()
            .with_linger(s(1))
            .with_connect_timeout(s(2))
            .with_request_timeout(s(3))
            .with_max_retry_after(s(4))
            .with_auth_probe(s(5))
            .with_absent_probe(s(6))
            .with_shutdown_timeout(s(7))
            .with_backoff(BackoffConfig::new(s(8), s(9)));
        let ForwardConfig {
            linger,
            connect_timeout,
            request_timeout,
            backoff,
            max_retry_after,
            auth_probe,
            absent_probe,
            shutdown_timeout,
        } = config;
        let timeouts = [linger, connect_timeout, request_timeout, max_retry_after, auth_probe, absent_probe];
        assert_eq!(timeouts, [1, 2, 3, 4, 5, 6].map(s));
        assert_eq!([shutdown_timeout, backoff.initial, backoff.max], [7, 8, 9].map(s));
    }
}
