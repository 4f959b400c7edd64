//! Measurements by the stable API: each carries its labels.

use opentelemetry::KeyValue;

use super::{Labels, Metrics, Over};

/// Nothing is kept from one request to the next.
#[derive(Default)]
pub(crate) struct Direct;

/// What is kept for each route: nothing.
pub(crate) struct AllSeries;

impl AllSeries {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Direct {
    pub(super) fn change_active(&self, metrics: &Metrics, labels: &Labels, change: i64) {
        let labels: [KeyValue; 2] = labels.of_request();
        metrics.active.add(change, &labels);
    }

    pub(super) fn record(&self, metrics: &Metrics, labels: &Labels, over: &Over) {
        metrics.record(labels, over);
    }
}
