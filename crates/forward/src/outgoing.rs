//! What the outbox passes on: spans and log records, and how the store gives them.

use crate::alignment::{shift_log_record, shift_span};
use std::future::Future;

use throughline_otlp::{
    LogRecord, Record, Span,
    context::{SpanId, TraceId, keys},
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

    /// The place of the newest.
    fn total(counts: &Counts) -> u64;

    /// What tells it from others, for a person.
    fn ids(&self) -> (Option<TraceId>, Option<SpanId>);

    /// When it ended, Unix nanoseconds: by the server's clock where that was noted, else by its maker's.
    fn ended_ns(&self) -> u64;

    /// Moves its times, and says so.
    fn shift(&mut self, offset_ns: i64);

    /// As the span that tail sampling may leave out, if it is one.
    fn sampled(&mut self) -> Option<&mut Span>;
}

fn received_ns<R: Record>(record: &R) -> Option<u64> {
    let received = record.attributes().iter().find(|attribute| attribute.key == keys::RECEIVED_NS)?;
    received.value.as_i64().and_then(|time_ns| u64::try_from(time_ns).ok())
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
        counts.last_span
    }

    fn ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        (Some(self.trace_id), Some(self.span_id))
    }

    fn ended_ns(&self) -> u64 {
        received_ns(self).unwrap_or(self.end_ns)
    }

    fn shift(&mut self, offset_ns: i64) {
        shift_span(self, offset_ns);
    }

    fn sampled(&mut self) -> Option<&mut Span> {
        Some(self)
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
        counts.last_log_record
    }

    fn ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        (self.trace_id, self.span_id)
    }

    fn ended_ns(&self) -> u64 {
        received_ns(self).unwrap_or_else(|| self.at_ns())
    }

    fn shift(&mut self, offset_ns: i64) {
        shift_log_record(self, offset_ns);
    }

    fn sampled(&mut self) -> Option<&mut Span> {
        None
    }
}
