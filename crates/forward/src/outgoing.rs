//! The kinds of records that the outbox forwards: spans, log records and data points, and the queues from which they are read.

use crate::{
    Records,
    alignment::{shift_log_record, shift_span},
};
use std::{fmt, future::Future};

use throughline_context::{SpanId, TraceId, keys};
use throughline_otlp::{DataPoint, LogRecord, Record, Span};
use throughline_store::{Metrics, SinkCursor, SpanStore, Store, StoreError};
use tokio::sync::watch;

/// A queue of records in commit order, with a cursor for each sink.
pub(crate) trait Queue: Clone + fmt::Debug + Send + Sync + 'static {
    /// Returns the position of a sink's cursor; 0 if it was never set.
    fn cursor(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Sets the position of a sink's cursor, and resolves once it is on disk.
    fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the number of records that were deleted, because of the limits of the queue, before the sink had delivered them.
    fn lost(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Returns a receiver that is notified after each commit.
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

/// A kind of record with its own commit order.
pub(crate) trait Outgoing: Record {
    /// The queue from which it is read.
    type Queue: Queue;

    /// Returns the records after a position.
    fn after(
        queue: &Self::Queue,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Self)>, StoreError>> + Send;

    /// Returns the approximate number of records after a position: positions are numbered almost without gaps.
    fn waiting(queue: &Self::Queue, cursor: u64) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Returns the ids that identify the record for a person.
    fn ids(&self) -> (Option<TraceId>, Option<SpanId>);

    /// Returns the end of the record in Unix nanoseconds: the server's time of arrival if it is known, else the record's own time.
    fn ended_ns(&self) -> u64;

    /// Shifts the record's times, and adds the shift as an attribute.
    fn shift(&mut self, offset_ns: i64);

    /// Wraps records for a sink.
    fn records(records: &[Self]) -> Records<'_>;

    /// Returns the record as a span, if tail sampling applies to it.
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
        // Points that were dropped from the queue are not waiting any more.
        Ok(counts.received.saturating_sub(cursor).min(counts.queued))
    }

    fn ids(&self) -> (Option<TraceId>, Option<SpanId>) {
        (None, None)
    }

    fn ended_ns(&self) -> u64 {
        self.time_ns
    }

    /// Does nothing: a point belongs to no trace, so the offset of its clock is unknown.
    fn shift(&mut self, _: i64) {}

    fn records(records: &[Self]) -> Records<'_> {
        Records::DataPoints(records)
    }

    fn sampled(&mut self) -> Option<&mut Span> {
        None
    }
}
