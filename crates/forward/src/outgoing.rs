//! What the outbox passes on: spans and log records, and how the store gives them.

use std::future::Future;

use throughline_otlp::{
    LogRecord, Record, Span,
    context::{SpanId, TraceId},
};
use throughline_store::{Counts, SpanStore as _, Store, StoreError};

/// One kind of record with an order of commits of its own.
pub(crate) trait Outgoing: Record {
    /// The name of its cursor for a sink.
    fn cursor_name(sink: &str) -> String;

    /// What lies beyond a place.
    fn after(
        store: &Store,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send;

    /// How many there are.
    fn total(counts: &Counts) -> u64;

    /// What tells it from others, for a person.
    fn ids(&self) -> (Option<TraceId>, Option<SpanId>);
}

impl Outgoing for Span {
    fn cursor_name(sink: &str) -> String {
        sink.to_owned()
    }

    fn after(
        store: &Store,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send {
        store.after(cursor, limit)
    }

    fn total(counts: &Counts) -> u64 {
        counts.spans
    }

    fn ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        (Some(self.trace_id), Some(self.span_id))
    }
}

impl Outgoing for LogRecord {
    fn cursor_name(sink: &str) -> String {
        format!("{sink}/logs")
    }

    fn after(
        store: &Store,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send {
        store.logs_after(cursor, limit)
    }

    fn total(counts: &Counts) -> u64 {
        counts.log_records
    }

    fn ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        (self.trace_id, self.span_id)
    }
}
