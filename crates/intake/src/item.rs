//! What the doors do alike with spans and with log records, and what each does its own way.

use std::future::Future;

use throughline_otlp::{LogRecord, Record, Span};
use throughline_store::{Appended, SpanStore as _, Store, StoreError};

use crate::{bounds::Cut, config::SpanLimits};

/// A span or a log record on its way from a door to the store.
pub(crate) trait Item: Record {
    /// Brings it within the limits; its resource and scope are shared and looked at elsewhere.
    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut);

    /// Resolves when they are committed.
    fn store(items: Vec<Self>, store: &Store) -> impl Future<Output = Result<Appended, StoreError>> + Send;
}

impl Item for Span {
    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut) {
        limits.span(self, cut);
    }

    fn store(items: Vec<Self>, store: &Store) -> impl Future<Output = Result<Appended, StoreError>> + Send {
        store.append(items)
    }
}

impl Item for LogRecord {
    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut) {
        limits.log_record(self, cut);
    }

    fn store(items: Vec<Self>, store: &Store) -> impl Future<Output = Result<Appended, StoreError>> + Send {
        store.append_logs(items)
    }
}
