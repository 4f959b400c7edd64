//! Counts of accepted and refused records and requests.

use crate::{bounds::Cut, refusal::Refusal};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use throughline_otlp::Signal;
use throughline_store::Appended;

/// Counts since the start, of all receivers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Spans.
    pub spans: RecordStats,
    /// Log records.
    pub log_records: RecordStats,
    /// Data points of metrics.
    pub data_points: RecordStats,
    /// Attributes of browsers' spans and log records that were left out because of a limit.
    pub cut_attributes: u64,
    /// Values of browsers' spans and log records that were truncated because of a limit.
    pub cut_values: u64,
    /// Values of browsers' spans and log records from which a secret was removed.
    pub redacted_values: u64,
    /// Browsers' spans and log records whose times differ too much from the time of reception.
    pub clock_skewed: u64,
    /// Bytes of bodies on the wire.
    pub wire_bytes: u64,
    /// Bytes of bodies after decompression.
    pub inflated_bytes: u64,
    /// Requests that got a success response.
    pub accepted_requests: u64,
    /// Requests that were refused.
    pub refused_requests: RefusedRequests,
}

/// Counts of the spans, the log records or the data points of accepted requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordStats {
    /// Records that were committed for the first time.
    pub accepted: u64,
    /// Records that had been committed before.
    pub duplicates: u64,
    /// Records that were rejected.
    pub rejected: Rejected,
}

/// Records of accepted requests that were rejected, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// Records that violate OTLP.
    pub invalid: u64,
    /// Records with a session id other than the ingest token's.
    pub foreign_session: u64,
    /// Records above the limit on records per batch.
    pub batch_limit: u64,
}

/// Requests that were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedRequests {
    /// From another site's page (403).
    pub origin: u64,
    /// No valid ingest token (401).
    pub ingest_token: u64,
    /// No valid token at an OTLP receiver (401).
    pub token: u64,
    /// Neither protobuf nor JSON, or compressed in an unknown way (415).
    pub media_type: u64,
    /// A body above a size limit (413).
    pub too_large: u64,
    /// A body that does not match its headers (400).
    pub malformed: u64,
    /// A body that did not arrive in time (408).
    pub slow: u64,
    /// Above a rate limit (429).
    pub rate: u64,
    /// Too many requests at once, or a store that accepts no records at present (503).
    pub busy: u64,
    /// An internal error (500).
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    spans: RecordCounters,
    log_records: RecordCounters,
    data_points: RecordCounters,
    cut_attributes: AtomicU64,
    cut_values: AtomicU64,
    redacted_values: AtomicU64,
    clock_skewed: AtomicU64,
    pub(crate) wire_bytes: AtomicU64,
    pub(crate) inflated_bytes: AtomicU64,
    accepted_requests: AtomicU64,
    origin: AtomicU64,
    ingest_token: AtomicU64,
    token: AtomicU64,
    media_type: AtomicU64,
    too_large: AtomicU64,
    malformed: AtomicU64,
    slow: AtomicU64,
    rate: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct RecordCounters {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    invalid: AtomicU64,
    foreign_session: AtomicU64,
    batch_limit: AtomicU64,
}

impl RecordCounters {
    fn add(&self, appended: Appended, rejected: Rejected) {
        self.accepted.fetch_add(appended.stored as u64, Relaxed);
        self.duplicates.fetch_add(appended.duplicates as u64, Relaxed);
        self.invalid.fetch_add(rejected.invalid, Relaxed);
        self.foreign_session.fetch_add(rejected.foreign_session, Relaxed);
        self.batch_limit.fetch_add(rejected.batch_limit, Relaxed);
    }

    fn snapshot(&self) -> RecordStats {
        RecordStats {
            accepted: self.accepted.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            rejected: Rejected {
                invalid: self.invalid.load(Relaxed),
                foreign_session: self.foreign_session.load(Relaxed),
                batch_limit: self.batch_limit.load(Relaxed),
            },
        }
    }
}

impl Counters {
    pub(crate) fn accepted(&self, signal: Signal, appended: Appended, rejected: Rejected, cut: Cut) {
        self.accepted_requests.fetch_add(1, Relaxed);
        match signal {
            Signal::Traces => self.spans.add(appended, rejected),
            Signal::Logs => self.log_records.add(appended, rejected),
            Signal::Metrics => self.data_points.add(appended, rejected),
        }
        self.cut_attributes.fetch_add(cut.attributes, Relaxed);
        self.cut_values.fetch_add(cut.values, Relaxed);
        self.redacted_values.fetch_add(cut.redacted, Relaxed);
        self.clock_skewed.fetch_add(cut.clock_skewed, Relaxed);
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Origin => &self.origin,
            Refusal::IngestToken(_) => &self.ingest_token,
            Refusal::Token => &self.token,
            Refusal::ContentType | Refusal::ContentEncoding => &self.media_type,
            Refusal::TooLarge { .. } => &self.too_large,
            Refusal::Malformed(_) => &self.malformed,
            Refusal::Slow => &self.slow,
            Refusal::Rate { .. } => &self.rate,
            Refusal::Busy(_) => &self.busy,
            Refusal::Failed => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            spans: self.spans.snapshot(),
            log_records: self.log_records.snapshot(),
            data_points: self.data_points.snapshot(),
            cut_attributes: self.cut_attributes.load(Relaxed),
            cut_values: self.cut_values.load(Relaxed),
            redacted_values: self.redacted_values.load(Relaxed),
            clock_skewed: self.clock_skewed.load(Relaxed),
            wire_bytes: self.wire_bytes.load(Relaxed),
            inflated_bytes: self.inflated_bytes.load(Relaxed),
            accepted_requests: self.accepted_requests.load(Relaxed),
            refused_requests: RefusedRequests {
                origin: self.origin.load(Relaxed),
                ingest_token: self.ingest_token.load(Relaxed),
                token: self.token.load(Relaxed),
                media_type: self.media_type.load(Relaxed),
                too_large: self.too_large.load(Relaxed),
                malformed: self.malformed.load(Relaxed),
                slow: self.slow.load(Relaxed),
                rate: self.rate.load(Relaxed),
                busy: self.busy.load(Relaxed),
                failed: self.failed.load(Relaxed),
            },
        }
    }
}
