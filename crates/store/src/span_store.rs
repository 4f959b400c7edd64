//! The interface of a store of spans and log records.

use std::{future::Future, sync::Arc};

use throughline_context::TraceId;
use throughline_otlp::{LogRecord, Span};
use tokio::sync::{broadcast, watch};

use crate::{ListFilter, SinkCursor, StoreError, Summary, TraceFacts, TraceRun};

/// The result of appending a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The number of new spans or log records.
    pub stored: usize,
    /// The number that were already stored, and were left unchanged.
    pub duplicates: usize,
}

/// The number of records in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// The number of spans.
    pub spans: u64,
    /// The number of traces.
    pub traces: u64,
    /// The number of log records.
    pub log_records: u64,
    /// The position of the newest span in commit order; 0 if no span was ever stored. Spans before the first remaining position
    /// have been deleted, so the number of spans alone does not show how far behind a cursor is.
    pub last_span: u64,
    /// The position of the newest log record; 0 if none was ever stored.
    pub last_log_record: u64,
}

/// A durable store of spans and log records.
///
/// Every future may be dropped at any time. An operation that has started completes nevertheless.
pub trait SpanStore: Send + Sync + 'static {
    /// Stores a batch of spans, all or none, and resolves once it is on disk. A span with the trace id and span id of a stored
    /// span is a duplicate: the stored one is kept.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the queue is full, [`StoreError::Closed`], [`StoreError::Full`], or an error of the database.
    fn append(&self, spans: Vec<Span>) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// Stores a batch of log records, all or none, and resolves once it is on disk. Log records have no ids: a record with
    /// the same content as a stored one, including its timestamp, is a duplicate. For records from a browser, the time of
    /// arrival and the client's address are not part of the content.
    ///
    /// # Errors
    /// Same as [`SpanStore::append`].
    fn append_logs(&self, records: Vec<LogRecord>) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// Returns the spans of a trace, ordered by start time; empty if the trace does not exist. At most the earliest
    /// [`MAX_TRACE_SPANS`](crate::MAX_TRACE_SPANS) are returned.
    ///
    /// # Errors
    /// An error of the database.
    fn trace(&self, trace_id: TraceId) -> impl Future<Output = Result<Vec<Span>, StoreError>> + Send;

    /// Returns the log records of a trace, ordered by time, even if the trace has no spans. At most the earliest
    /// [`MAX_TRACE_LOGS`](crate::MAX_TRACE_LOGS) are returned.
    ///
    /// # Errors
    /// An error of the database.
    fn trace_logs(&self, trace_id: TraceId) -> impl Future<Output = Result<Vec<LogRecord>, StoreError>> + Send;

    /// Returns the list entry of a trace; `None` if the trace does not exist.
    ///
    /// # Errors
    /// An error of the database.
    fn summary(&self, trace_id: TraceId) -> impl Future<Output = Result<Option<Summary>, StoreError>> + Send;

    /// Returns facts about traces, in the given order, without reading their spans. A trace that has neither spans nor log
    /// records has [`TraceFacts::default`].
    ///
    /// # Errors
    /// An error of the database.
    fn facts(&self, trace_ids: Vec<TraceId>) -> impl Future<Output = Result<Vec<TraceFacts>, StoreError>> + Send;

    /// Returns the traces that match the filter, latest start first.
    ///
    /// # Errors
    /// An error of the database.
    fn list(&self, filter: ListFilter) -> impl Future<Output = Result<Vec<Summary>, StoreError>> + Send;

    /// Returns spans in commit order, each with its position, starting after `cursor`; 0 is before the first. It may return
    /// fewer than `limit` spans even if more are stored: only an empty result means that there are no more.
    ///
    /// # Errors
    /// An error of the database.
    fn after(&self, cursor: u64, limit: usize) -> impl Future<Output = Result<Vec<(u64, Span)>, StoreError>> + Send;

    /// Returns the traces of about `limit` spans after `cursor`, in commit order, without reading the spans. Only an empty
    /// result means that there are no more.
    ///
    /// # Errors
    /// An error of the database.
    fn runs_after(&self, cursor: u64, limit: usize) -> impl Future<Output = Result<Vec<TraceRun>, StoreError>> + Send;

    /// Returns log records in commit order, as [`SpanStore::after`] does for spans. Log records are numbered separately from
    /// spans.
    ///
    /// # Errors
    /// An error of the database.
    fn logs_after(
        &self,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, LogRecord)>, StoreError>> + Send;

    /// Returns the position of a sink's cursor; 0 if it was never set.
    ///
    /// # Errors
    /// An error of the database.
    fn cursor(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Sets the position of a sink's cursor, and resolves once it is on disk. It waits if the queue is full.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::Full`], or an error of the database.
    fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the number of stored records.
    ///
    /// # Errors
    /// An error of the database.
    fn counts(&self) -> impl Future<Output = Result<Counts, StoreError>> + Send;

    /// Subscribes to changes of the list: after each commit, the list entry of each trace with new spans or log records is
    /// sent. Log records of a trace without spans do not change the list. A receiver that does not keep up gets
    /// [`Lagged`](broadcast::error::RecvError::Lagged), and should read the list again.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Summary>>;

    /// Returns a receiver that is notified after each commit that stored anything, including log records without a trace.
    fn commits(&self) -> watch::Receiver<u64>;
}
