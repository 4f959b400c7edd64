//! The traits through which the receivers handle spans, log records and data points.

use std::future::Future;

use throughline_otlp::{DataPoint, LogRecord, Reason, Record, Span};
use throughline_store::{Appended, MAX_POINT_BYTES, Metrics, SpanStore as _, Store, StoreError};

use crate::{bounds::Cut, config::SpanLimits, redact::Redactor};

/// The stores for records.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) store: Store,
    pub(crate) metrics: Option<Metrics>,
}

/// A record on its way from a receiver to the store.
pub(crate) trait Item: Record {
    /// Returns why the record cannot be stored, or `None` if it can.
    fn problem(&self) -> Option<Reason> {
        None
    }

    /// Stores the records; resolves when they are committed.
    fn store(items: Vec<Self>, stores: &Stores) -> impl Future<Output = Result<Appended, StoreError>> + Send;
}

/// A record that a browser may send.
pub(crate) trait FromBrowser: Item {
    /// Removes secrets from the record, except from its resource and scope, which are shared and redacted separately.
    /// Increments `count` for each value that held a secret.
    fn redact(&mut self, redactor: &Redactor, count: &mut u64);

    /// Applies the limits to the record, except to its resource and scope.
    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut);

    /// Returns when the record began and ended, in Unix nanoseconds; 0 if absent.
    fn times_ns(&self) -> (u64, u64);
}

impl Item for Span {
    fn store(items: Vec<Self>, stores: &Stores) -> impl Future<Output = Result<Appended, StoreError>> + Send {
        stores.store.append(items)
    }
}

impl FromBrowser for Span {
    fn redact(&mut self, redactor: &Redactor, count: &mut u64) {
        redactor.span(self, count);
    }

    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut) {
        limits.span(self, cut);
    }

    fn times_ns(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }
}

impl Item for LogRecord {
    fn store(items: Vec<Self>, stores: &Stores) -> impl Future<Output = Result<Appended, StoreError>> + Send {
        stores.store.append_logs(items)
    }
}

impl FromBrowser for LogRecord {
    fn redact(&mut self, redactor: &Redactor, count: &mut u64) {
        redactor.log_record(self, count);
    }

    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut) {
        limits.log_record(self, cut);
    }

    fn times_ns(&self) -> (u64, u64) {
        (self.at_ns(), self.at_ns())
    }
}

impl Item for DataPoint {
    fn problem(&self) -> Option<Reason> {
        let refused = || Reason::Refused(format!("it has more than {MAX_POINT_BYTES} bytes").into());
        (!Metrics::fits(self)).then(refused)
    }

    async fn store(items: Vec<Self>, stores: &Stores) -> Result<Appended, StoreError> {
        match &stores.metrics {
            Some(metrics) => metrics.append(items).await,
            // Without a store for metrics, there is no receiver for data points.
            None => Err(StoreError::Closed),
        }
    }
}
