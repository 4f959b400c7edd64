//! What a store of spans and log records does, whichever it is.

use std::{future::Future, sync::Arc};

use throughline_context::TraceId;
use throughline_otlp::{LogRecord, Span};
use tokio::sync::{broadcast, watch};

use crate::{ListFilter, SinkCursor, StoreError, Summary, TraceFacts, TraceRun};

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// How many spans or log records are new.
    pub stored: usize,
    /// How many were there already, and were left as they were.
    pub duplicates: usize,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Spans.
    pub spans: u64,
    /// Traces.
    pub traces: u64,
    /// Log records.
    pub log_records: u64,
    /// The place of the newest span; 0 if there never was one. What is before the first place that is left is gone, so the
    /// number of spans alone does not tell how far a cursor is behind.
    pub last_span: u64,
    /// The place of the newest log record, likewise.
    pub last_log_record: u64,
}

/// A durable store of spans and log records. All futures may be dropped at any time; what was begun is then finished unseen.
pub trait SpanStore: Send + Sync + 'static {
    /// Stores a batch, whole or not at all, and resolves once it is on disk. A span with the trace id and span id of
    /// one that is stored is a duplicate: the first stays.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if too much is queued, [`StoreError::Closed`], [`StoreError::Full`], or the database's.
    fn append(&self, spans: Vec<Span>) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// The same for log records. They have no ids: one with the content of one that is stored is a duplicate, to the
    /// nanosecond, whenever and from whichever address a browser's came.
    ///
    /// # Errors
    /// As [`SpanStore::append`].
    fn append_logs(&self, records: Vec<LogRecord>) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// All spans of a trace, by start; none if there is no such trace. At most
    /// [`MAX_TRACE_SPANS`](crate::MAX_TRACE_SPANS), the earliest.
    ///
    /// # Errors
    /// The database's.
    fn trace(&self, trace_id: TraceId) -> impl Future<Output = Result<Vec<Span>, StoreError>> + Send;

    /// All log records that name a trace, by time; its spans may be absent. At most
    /// [`MAX_TRACE_LOGS`](crate::MAX_TRACE_LOGS), the earliest.
    ///
    /// # Errors
    /// The database's.
    fn trace_logs(&self, trace_id: TraceId) -> impl Future<Output = Result<Vec<LogRecord>, StoreError>> + Send;

    /// What a list shows of one trace; `None` if there is no such trace.
    ///
    /// # Errors
    /// The database's.
    fn summary(&self, trace_id: TraceId) -> impl Future<Output = Result<Option<Summary>, StoreError>> + Send;

    /// What is known of traces without reading their spans, in the order given; a trace that is not there has
    /// [`TraceFacts::default`], unless log records name it.
    ///
    /// # Errors
    /// The database's.
    fn facts(&self, trace_ids: Vec<TraceId>) -> impl Future<Output = Result<Vec<TraceFacts>, StoreError>> + Send;

    /// Traces that the filter lets through, latest start first.
    ///
    /// # Errors
    /// The database's.
    fn list(&self, filter: ListFilter) -> impl Future<Output = Result<Vec<Summary>, StoreError>> + Send;

    /// Spans in the order in which they were committed, each with its place, beginning after `cursor`; 0 is before
    /// the first. It may return fewer than `limit` though there are more: only an empty answer means the end.
    ///
    /// # Errors
    /// The database's.
    fn after(&self, cursor: u64, limit: usize) -> impl Future<Output = Result<Vec<(u64, Span)>, StoreError>> + Send;

    /// Which traces the spans after `cursor` belong to, in the same order, without reading the spans: of about `limit` spans.
    /// Only an empty answer means the end.
    ///
    /// # Errors
    /// The database's.
    fn runs_after(&self, cursor: u64, limit: usize) -> impl Future<Output = Result<Vec<TraceRun>, StoreError>> + Send;

    /// The same as [`SpanStore::after`] for log records, whose places are their own.
    ///
    /// # Errors
    /// The database's.
    fn logs_after(
        &self,
        cursor: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, LogRecord)>, StoreError>> + Send;

    /// How far a sink has come; 0 if it never said.
    ///
    /// # Errors
    /// The database's.
    fn cursor(&self, cursor: &SinkCursor) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Notes how far a sink has come, and resolves once that is on disk. It waits if the queue is full.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::Full`], or the database's.
    fn set_cursor(&self, cursor: &SinkCursor, place: u64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How much is stored.
    ///
    /// # Errors
    /// The database's.
    fn counts(&self) -> impl Future<Output = Result<Counts, StoreError>> + Send;

    /// What the list shows of each trace that gets new spans or log records from now on: once per commit, after it. Log records
    /// that name a trace without spans are no change of the list. A receiver that does not keep up gets
    /// [`Lagged`](broadcast::error::RecvError::Lagged), and should read the list again.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Summary>>;

    /// Changes from now on after each commit that stored anything: what belongs to no trace too.
    fn commits(&self) -> watch::Receiver<u64>;
}
