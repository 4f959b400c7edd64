//! Recording with the stable API: each measurement carries its labels.

use opentelemetry::KeyValue;

use super::{Labels, Metrics, Outcome};

/// A recorder without state.
#[derive(Default)]
pub(crate) struct Direct;

/// The state for each route: none.
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

    pub(super) fn record(&self, metrics: &Metrics, labels: &Labels, outcome: &Outcome) {
        metrics.record(labels, outcome);
    }
}
