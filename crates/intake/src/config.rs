//! Settings and limits.

use crate::{RedactionRule, IngestTokenKeys, OtlpToken};
use std::time::Duration;
use throughline_otlp::KeyValue;
use throughline_store::Metrics;

/// The settings of an [`Intake`](crate::Intake).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntakeConfig {
    /// The keys that sign ingest tokens; [`Intake::set_ingest_token_keys`](crate::Intake::set_ingest_token_keys) replaces them later.
    pub ingest_token_keys: IngestTokenKeys,
    /// How long an ingest token is valid; whole seconds.
    pub ingest_token_ttl: Duration,
    /// `service.name` of every span and log record from a browser.
    pub browser_service_name: String,
    /// Attributes that the resource of each of them has besides, such as `deployment.environment.name`.
    pub resource_attributes: Vec<KeyValue>,
    /// Origins other than the server's own whose pages may send, such as `https://shop.example`.
    pub allowed_origins: Vec<String>,
    /// The rules by which secrets are removed from all texts of browsers before they are stored.
    pub redact: Vec<RedactionRule>,
    /// The token that programs have to send to the OTLP receivers. Without one, these receivers must not be reachable from
    /// other machines.
    pub otlp_token: Option<OtlpToken>,
    /// Where data points are stored; without it there is no `/v1/metrics`.
    pub metrics: Option<Metrics>,
    /// The limits on what is accepted.
    pub limits: Limits,
}

impl IntakeConfig {
    /// Ingest tokens for 15 minutes, no other origins, all built-in rules for secrets, no token, no metrics, default limits.
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

    /// Sets how long an ingest token is valid; whole seconds.
    #[must_use]
    pub const fn with_ingest_token_ttl(mut self, ingest_token_ttl: Duration) -> Self {
        self.ingest_token_ttl = ingest_token_ttl;
        self
    }

    /// Sets the attributes that the resource of every record from a browser has besides `service.name`.
    #[must_use]
    pub fn with_resource_attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.resource_attributes = attributes.into_iter().collect();
        self
    }

    /// Sets the origins other than the server's own whose pages may send, such as `https://shop.example`.
    #[must_use]
    pub fn with_allowed_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the rules by which secrets are removed from what browsers send.
    #[must_use]
    pub fn with_redact(mut self, rules: impl IntoIterator<Item = RedactionRule>) -> Self {
        self.redact = rules.into_iter().collect();
        self
    }

    /// Sets the token that programs at the OTLP receivers have to send.
    #[must_use]
    pub fn with_otlp_token(mut self, token: OtlpToken) -> Self {
        self.otlp_token = Some(token);
        self
    }

    /// Sets where data points are stored, and with it opens `/v1/metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Sets the limits on what is accepted.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// The limits on what is accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Limits of bodies on the receiver for pages: 1 MiB on the wire, 4 MiB decompressed, 30 s, 32 MiB for all at once.
    pub page_body: BodyLimits,
    /// Limits of bodies on the OTLP receivers: 16 MiB on the wire, 64 MiB decompressed, 30 s, 256 MiB for all at once.
    pub otlp_body: BodyLimits,
    /// The most spans or log records in one batch from a page; those above it are rejected. 512.
    pub spans_per_batch: usize,
    /// Limits of a span or a log record from a page.
    pub span: SpanLimits,
    /// Spans and log records of one session: 200 a second, 2,000 at once.
    pub session_rate: RateLimit,
    /// Spans and log records of one client, by its address (of IPv6, by its /64): 1,000 a second, 10,000 at once. An ingest token
    /// costs as much as a span. Clients on loopback have no limit of their own: all may be behind one proxy there.
    pub client_rate: RateLimit,
    /// Spans and log records of all browsers together: 5,000 a second, 20,000 at once.
    pub public_rate: RateLimit,
    /// The most sessions whose rates are remembered at once; a new one replaces the one that was quiet longest. 10,000.
    pub tracked_sessions: usize,
    /// The most clients whose rates are remembered at once. 10,000.
    pub tracked_clients: usize,
    /// A browser's times that are this long before the time of reception are flagged. 24 h: what a page could not send, the next
    /// one sends.
    pub time_behind: Duration,
    /// A browser's times that are this long after the time of reception are flagged. 10 min.
    pub time_ahead: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        let timeout = Duration::from_secs(30);
        Self {
            page_body: BodyLimits { wire_bytes: MIB, inflated_bytes: 4 * MIB, timeout, total_bytes: 32 * MIB },
            otlp_body: BodyLimits {
                wire_bytes: 16 * MIB,
                inflated_bytes: 64 * MIB,
                timeout,
                total_bytes: 256 * MIB,
            },
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

/// The limits of request bodies at one receiver.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BodyLimits {
    /// The most bytes as they arrive; more is status 413.
    pub wire_bytes: usize,
    /// The most bytes after decompression; more is status 413.
    pub inflated_bytes: usize,
    /// The longest time from the head of a request to the end of its body; longer is status 408.
    pub timeout: Duration,
    /// The most bytes of all bodies that are held at once; above it, requests get 503 with `Retry-After`. Raised to
    /// `inflated_bytes` if it is less.
    pub total_bytes: usize,
}

/// The limits of one span or log record from a browser. What exceeds them is left out or cut, and counted; the rest stays.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpanLimits {
    /// Attributes of a span, an event, a link, a log record or a scope. 128.
    pub attributes: usize,
    /// Bytes of a key; an attribute with a longer one is left out. 256.
    pub key_bytes: usize,
    /// Bytes of a text or bytes value; longer ones are cut, text at a character's boundary. 4,096.
    pub value_bytes: usize,
    /// Entries of a list or map inside a value. 128.
    pub items: usize,
    /// Bytes of a name (span, event, scope), a version or the words for a severity. 1,024.
    pub name_bytes: usize,
    /// Events of a span. 128.
    pub events: usize,
    /// Links of a span. 128.
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

/// A token bucket, in spans and log records; a request costs one at least.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many tokens flow in each second. With 0, none do, and the burst is all that there ever is.
    pub per_second: u32,
    /// How many tokens the bucket holds; at least 1.
    pub burst: u32,
}

impl RateLimit {
    /// A bucket of `burst` tokens, into which `per_second` flow.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Intake, IngestTokenKey};
    use throughline_store::Store;

    #[test]
    fn debug_shows_neither_keys_nor_tokens() {
        let token = "0123456789abcdef";
        let keys = IngestTokenKeys::new(IngestTokenKey::from_bytes([211; 32]), vec![IngestTokenKey::from_bytes([212; 32])]);
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
