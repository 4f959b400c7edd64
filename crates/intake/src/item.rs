//! What the receivers do alike with spans, log records and data points, and what each does its own way.

use std::future::Future;

use throughline_otlp::{DataPoint, LogRecord, Reason, Record, Span};
use throughline_store::{Appended, MAX_POINT_BYTES, Metrics, SpanStore as _, Store, StoreError};

use crate::{bounds::Cut, config::SpanLimits, redact::Redactor};

/// Where records go.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) store: Store,
    pub(crate) metrics: Option<Metrics>,
}

/// A record on its way from a receiver to the store.
pub(crate) trait Item: Record {
    /// Why it cannot be kept, if it cannot.
    fn problem(&self) -> Option<Reason> {
        None
    }

    /// Resolves when they are committed.
    fn store(items: Vec<Self>, stores: &Stores) -> impl Future<Output = Result<Appended, StoreError>> + Send;
}

/// One that a browser may send.
pub(crate) trait FromBrowser: Item {
    /// Takes secrets out of it; its resource and scope are shared and looked at elsewhere.
    fn redact(&mut self, redactor: &Redactor, count: &mut u64);

    /// Brings it within the limits, likewise.
    fn limit(&mut self, limits: &SpanLimits, cut: &mut Cut);

    /// When it began and ended, Unix nanoseconds; 0 where it does not say.
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
        let refused = || Reason::Refused(format!("it takes more than {MAX_POINT_BYTES} bytes").into());
        (!Metrics::fits(self)).then(refused)
    }

    async fn store(items: Vec<Self>, stores: &Stores) -> Result<Appended, StoreError> {
        match &stores.metrics {
            Some(metrics) => metrics.append(items).await,
            // There is no receiver for them then.
            None => Err(StoreError::Closed),
        }
    }
}
