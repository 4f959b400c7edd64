//! What the outbox passes on: spans, log records and data points, and how the store gives them.

use crate::{
    Records,
    alignment::{shift_log_record, shift_span},
};
use std::{fmt, future::Future};

use throughline_context::{SpanId, TraceId, keys};
use throughline_otlp::{DataPoint, LogRecord, Record, Span};
use throughline_store::{Metrics, SinkCursor, SpanStore, Store, StoreError};
use tokio::sync::watch;

/// Where records wait, in the order of commits, and how far each sink has come.
pub(crate) trait Queue: Clone + fmt::Debug + Send + Sync + 'static {
    /// How far a sink has come; 0 if it never said.
    fn cursor(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Notes it, and resolves once that is on disk.
    fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How many were removed before the sink had them, to keep within bounds.
    fn lost(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Changes from now on after each commit.
    fn commits(&self) -> watch::Receiver<u64>;
}

impl Queue for Store {
    fn cursor(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send {
        SpanStore::cursor(self, cursor)
    }

    fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> impl Future<Output = Result<(), StoreError>> + Send {
        SpanStore::set_cursor(self, cursor, place)
    }

    fn lost(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send {
        Self::lost(self, cursor)
    }

    fn commits(&self) -> watch::Receiver<u64> {
        SpanStore::commits(self)
    }
}

impl Queue for Metrics {
    fn cursor(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send {
        Self::cursor(self, cursor)
    }

    fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> impl Future<Output = Result<(), StoreError>> + Send {
        Self::set_cursor(self, cursor, place)
    }

    async fn lost(&self, _: &SinkCursor) -> Result<u64, StoreError> {
        Ok(self.counts().await?.lost)
    }

    fn commits(&self) -> watch::Receiver<u64> {
        Self::commits(self)
    }
}

/// One kind of record with an order of commits of its own.
pub(crate) trait Outgoing: Record {
    /// Where it waits.
    type Queue: Queue;

    /// What lies beyond a place.
    fn after(
        queue: &Self::Queue,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send;

    /// How many lie beyond a place, nearly: places are numbered almost without gaps.
    fn waiting(queue: &Self::Queue, cursor: u64) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// What tells it from others, for a person.
    fn ids(&self) -> (Option<TraceId>, Option<SpanId>);

    /// When it ended, Unix nanoseconds: by the server's clock where that was noted, else by its maker's.
    fn ended_ns(&self) -> u64;

    /// Moves its times, and says so.
    fn shift(&mut self, offset_ns: i64);

    /// These records, for a sink.
    fn records(records: &[Self]) -> Records<'_>;

    /// As the span that tail sampling may leave out, if it is one.
    fn sampled(&mut self) -> Option<&mut Span>;
}

fn received_ns<R: Record>(record: &R) -> Option<u64> {
    let received = record.attributes().iter().find(|attribute| attribute.key == keys::RECEIVED_NS)?;
    received.value.as_i64().and_then(|time_ns| u64::try_from(time_ns).ok())
}

impl Outgoing for Span {
    type Queue = Store;

    fn after(
        queue: &Store,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send {
        queue.after(cursor, limit)
    }

    async fn waiting(queue: &Store, cursor: u64) -> Result<u64, StoreError> {
        Ok(queue.counts().await?.last_span.saturating_sub(cursor))
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

    fn records(records: &[Self]) -> Records<'_> {
        Records::Spans(records)
    }

    fn sampled(&mut self) -> Option<&mut Span> {
        Some(self)
    }
}

impl Outgoing for LogRecord {
    type Queue = Store;

    fn after(
        queue: &Store,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send {
        queue.logs_after(cursor, limit)
    }

    async fn waiting(queue: &Store, cursor: u64) -> Result<u64, StoreError> {
        Ok(queue.counts().await?.last_log_record.saturating_sub(cursor))
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

    fn records(records: &[Self]) -> Records<'_> {
        Records::Logs(records)
    }

    fn sampled(&mut self) -> Option<&mut Span> {
        None
    }
}

impl Outgoing for DataPoint {
    type Queue = Metrics;

    fn after(
        queue: &Metrics,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send {
        queue.metrics_after(cursor, limit)
    }

    async fn waiting(queue: &Metrics, cursor: u64) -> Result<u64, StoreError> {
        let counts = queue.counts().await?;
        // What was too much is not waiting any more.
        Ok(counts.received.saturating_sub(cursor).min(counts.queued))
    }

    fn ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        (None, None)
    }

    fn ended_ns(&self) -> u64 {
        self.time_ns
    }

    /// A point belongs to no trace, so nothing is known of its clock.
    fn shift(&mut self, _: i64) {}

    fn records(records: &[Self]) -> Records<'_> {
        Records::DataPoints(records)
    }

    fn sampled(&mut self) -> Option<&mut Span> {
        None
    }
}
