//! Settings and limits.

use crate::{IngestTokenKeys, OtlpToken, RedactionRule};
use std::time::Duration;
use throughline_otlp::KeyValue;
use throughline_store::Metrics;

/// The settings of an [`Intake`](crate::Intake).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntakeConfig {
    /// The keys that sign ingest tokens; [`Intake::set_ingest_token_keys`](crate::Intake::set_ingest_token_keys)
    /// replaces them later.
    pub ingest_token_keys: IngestTokenKeys,
    /// How long an ingest token is valid, in whole seconds.
    pub ingest_token_ttl: Duration,
    /// `service.name` of every span and log record from a browser.
    pub browser_service_name: String,
    /// Further attributes of the resource of each of these records, such as `deployment.environment.name`.
    pub resource_attributes: Vec<KeyValue>,
    /// Origins whose pages may send records, in addition to the server's own, such as `https://shop.example`.
    pub allowed_origins: Vec<String>,
    /// The rules by which secrets are removed from text that browsers send, before it is stored.
    pub redact: Vec<RedactionRule>,
    /// The token that the OTLP receivers require. Without one, these receivers must not be reachable from other
    /// machines.
    pub otlp_token: Option<OtlpToken>,
    /// The store for data points. Without it, metrics are not accepted.
    pub metrics: Option<Metrics>,
    /// The limits on requests and records.
    pub limits: Limits,
}

impl IntakeConfig {
    /// Creates a configuration with the defaults: ingest tokens are valid for 15 minutes, only the server's own origin
    /// is allowed, all built-in redaction rules apply, and there is no OTLP token and no store for metrics.
    #[must_use]
    pub fn new(ingest_token_keys: impl Into<IngestTokenKeys>, browser_service_name: impl Into<String>) -> Self {
        Self {
            ingest_token_keys: ingest_token_keys.into(),
            ingest_token_ttl: Duration::from_mins(15),
            browser_service_name: browser_service_name.into(),
            resource_attributes: Vec::new(),
            allowed_origins: Vec::new(),
            redact: RedactionRule::default_rules(),
            otlp_token: None,
            metrics: None,
            limits: Limits::default(),
        }
    }

    /// Sets how long an ingest token is valid, in whole seconds.
    #[must_use]
    pub const fn with_ingest_token_ttl(mut self, ingest_token_ttl: Duration) -> Self {
        self.ingest_token_ttl = ingest_token_ttl;
        self
    }

    /// Sets the attributes that are added to the resource of every record from a browser, in addition to
    /// `service.name`.
    #[must_use]
    pub fn with_resource_attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.resource_attributes = attributes.into_iter().collect();
        self
    }

    /// Sets the origins whose pages may send records, in addition to the server's own, such as `https://shop.example`.
    #[must_use]
    pub fn with_allowed_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the rules by which secrets are removed from the records of browsers.
    #[must_use]
    pub fn with_redact(mut self, rules: impl IntoIterator<Item = RedactionRule>) -> Self {
        self.redact = rules.into_iter().collect();
        self
    }

    /// Sets the token that the OTLP receivers require.
    #[must_use]
    pub fn with_otlp_token(mut self, token: OtlpToken) -> Self {
        self.otlp_token = Some(token);
        self
    }

    /// Sets the store for data points, so that metrics are accepted.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Sets the limits on requests and records.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// The limits on requests and records.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Limits on bodies at the receiver for pages. Default: 1 MiB on the wire, 4 MiB decompressed, 30 s, 32 MiB for all
    /// at once.
    pub page_body: BodyLimits,
    /// Limits on bodies at the OTLP receivers. Default: 16 MiB on the wire, 64 MiB decompressed, 30 s, 256 MiB for all
    /// at once.
    pub otlp_body: BodyLimits,
    /// The maximum number of spans or log records in one batch from a page; those above it are rejected. Default: 512.
    pub spans_per_batch: usize,
    /// Limits on a span or a log record from a page.
    pub span: SpanLimits,
    /// The rate of spans and log records of one session. Default: 200 per second, with bursts of 2,000.
    pub session_rate: RateLimit,
    /// The rate of spans and log records of one client, which is identified by its address (for IPv6, by its /64).
    /// Issuing an ingest token costs as much as a span. Loopback addresses are not limited, since all clients may be
    /// behind one proxy there. Default: 1,000 per second, with bursts of 10,000.
    pub client_rate: RateLimit,
    /// The rate of spans and log records of all browsers together. Default: 5,000 per second, with bursts of 20,000.
    pub public_rate: RateLimit,
    /// The maximum number of sessions whose rates are tracked at once; a new one replaces the least recently used.
    /// Default: 10,000.
    pub tracked_sessions: usize,
    /// The maximum number of clients whose rates are tracked at once. Default: 10,000.
    pub tracked_clients: usize,
    /// A browser's record is flagged if it ended more than this long before its reception. Default: 24 h, since records
    /// that a page could not send are sent by the next page.
    pub time_behind: Duration,
    /// A browser's record is flagged if it began more than this long after its reception. Default: 10 min.
    pub time_ahead: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        let timeout = Duration::from_secs(30);
        Self {
            page_body: BodyLimits { wire_bytes: MIB, inflated_bytes: 4 * MIB, timeout, total_bytes: 32 * MIB },
            otlp_body: BodyLimits { wire_bytes: 16 * MIB, inflated_bytes: 64 * MIB, timeout, total_bytes: 256 * MIB },
            spans_per_batch: 512,
            span: SpanLimits::default(),
            session_rate: RateLimit { per_second: 200, burst: 2_000 },
            public_rate: RateLimit { per_second: 5_000, burst: 20_000 },
            client_rate: RateLimit { per_second: 1_000, burst: 10_000 },
            tracked_sessions: 10_000,
            tracked_clients: 10_000,
            time_behind: Duration::from_hours(24),
            time_ahead: Duration::from_mins(10),
        }
    }
}

/// The limits on request bodies at one receiver.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BodyLimits {
    /// The maximum number of bytes on the wire; a larger body gets status 413.
    pub wire_bytes: usize,
    /// The maximum number of bytes after decompression; a larger body gets status 413.
    pub inflated_bytes: usize,
    /// The maximum time from the head of a request to the end of its body; a slower request gets status 408.
    pub timeout: Duration,
    /// The maximum number of bytes of all bodies that are in memory at once; above it, requests get status 503 with
    /// `Retry-After`. Raised to `inflated_bytes` if it is less.
    pub total_bytes: usize,
}

/// The limits on one span or log record from a browser. Items above a limit are left out or truncated, and counted; the
/// rest is kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpanLimits {
    /// The maximum number of attributes of a span, an event, a link, a log record or a scope. Default: 128.
    pub attributes: usize,
    /// The maximum length of a key, in bytes; an attribute with a longer one is left out. Default: 256.
    pub key_bytes: usize,
    /// The maximum length of a text or bytes value, in bytes; a longer one is truncated, text at a character boundary.
    /// Default: 4,096.
    pub value_bytes: usize,
    /// The maximum number of entries of a list or map inside a value. Default: 128.
    pub items: usize,
    /// The maximum length of a name (span, event, scope), a version or a severity text, in bytes. Default: 1,024.
    pub name_bytes: usize,
    /// The maximum number of events of a span. Default: 128.
    pub events: usize,
    /// The maximum number of links of a span. Default: 128.
    pub links: usize,
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self {
            attributes: 128,
            key_bytes: 256,
            value_bytes: 4_096,
            items: 128,
            name_bytes: 1_024,
            events: 128,
            links: 128,
        }
    }
}

/// A token bucket. Each span or log record costs one token, and each request at least one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RateLimit {
    /// The number of tokens that are added each second. With 0, the burst is never refilled.
    pub per_second: u32,
    /// The capacity of the bucket, in tokens; at least 1.
    pub burst: u32,
}

impl RateLimit {
    /// Creates a rate limit with this refill rate and capacity.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IngestTokenKey, Intake};
    use throughline_store::Store;

    #[test]
    fn debug_shows_neither_keys_nor_tokens() {
        let token = "0123456789abcdef";
        let keys =
            IngestTokenKeys::new(IngestTokenKey::from_bytes([211; 32]), vec![IngestTokenKey::from_bytes([212; 32])]);
        let config = IntakeConfig::new(keys, "web").with_otlp_token(OtlpToken::new(token));
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let intake = Intake::new(store, config.clone());
        intake.set_ingest_token_keys(config.ingest_token_keys.clone());
        for shown in [format!("{config:?}"), format!("{config:#?}"), format!("{intake:?}")] {
            for secret in [token, "211", "212"] {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
        }
    }
}
