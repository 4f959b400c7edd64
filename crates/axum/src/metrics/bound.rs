//! Recording with instruments that are bound to the labels of successful requests, as they occur.
//!
//! An unbound instrument compares and hashes all labels for each measurement, four times per request, which takes
//! longer than everything else in this layer.

use std::sync::OnceLock;

use http::StatusCode;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter};

use super::{Labels, Metrics, Outcome, SCHEMES};
use crate::{methods, routes::KnownRoute, slots::Slots};

/// The maximum number of label sets that are bound for each route: about two methods, two statuses and two versions.
const MAX_SERIES: usize = 16;

/// The instruments bound so far; those of a route are stored with the route.
pub(crate) struct Bound {
    /// Indexed by method (unknown ones last) and scheme.
    active: [[OnceLock<BoundUpDownCounter<i64>>; SCHEMES.len()]; methods::COUNT],
    /// Requests that matched no route.
    unrouted: AllSeries,
}

/// The instruments bound for one route.
pub(crate) struct AllSeries(Slots<SeriesKey, Series>);

/// The labels of a successful request, without its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeriesKey {
    method: usize,
    scheme: usize,
    version: Option<usize>,
    status: StatusCode,
}

/// The instruments bound to one set of labels.
struct Series {
    duration: BoundHistogram<f64>,
    response_bytes: BoundHistogram<u64>,
    /// Bound on the first request with a body, because a bound instrument is exported even without measurements.
    request_bytes: OnceLock<BoundHistogram<u64>>,
}

impl AllSeries {
    pub(crate) fn new() -> Self {
        Self(Slots::new(MAX_SERIES, MAX_SERIES))
    }
}

impl Default for Bound {
    fn default() -> Self {
        Self { active: Default::default(), unrouted: AllSeries::new() }
    }
}

impl Bound {
    pub(super) fn change_active(&self, metrics: &Metrics, labels: &Labels, change: i64) {
        match self.active.get(labels.method).and_then(|by_scheme| by_scheme.get(labels.scheme)) {
            Some(bound) => bound.get_or_init(|| metrics.active.bind(&labels.of_request())).add(change),
            None => metrics.active.add(change, &labels.of_request()),
        }
    }

    pub(super) fn record(&self, metrics: &Metrics, labels: &Labels, outcome: &Outcome) {
        let series = match (outcome.status, &outcome.error, &labels.route) {
            (Some(status), None, None) => series(metrics, &self.unrouted, status, labels, outcome),
            (Some(status), None, Some(KnownRoute::Kept(template))) => {
                series(metrics, template.series(), status, labels, outcome)
            }
            // Errors and unstored routes can have many label sets, so they are not bound.
            _ => None,
        };
        match series {
            Some(series) => record_in(metrics, series, labels, outcome),
            None => metrics.record(labels, outcome),
        }
    }
}

/// Returns the instruments bound to these labels, or `None` if there is no room for more.
fn series<'s>(
    metrics: &Metrics,
    all: &'s AllSeries,
    status: StatusCode,
    labels: &Labels,
    outcome: &Outcome,
) -> Option<&'s Series> {
    let &Labels { method, scheme, version, .. } = labels;
    let key = SeriesKey { method, scheme, version, status };
    let bind = || {
        let all = labels.all(outcome);
        let series = Series {
            duration: metrics.duration.bind(all.labels()),
            response_bytes: metrics.response_bytes.bind(all.labels()),
            request_bytes: OnceLock::new(),
        };
        (key, series)
    };
    all.0.get_or_insert_with(0, |known| *known == key, bind)
}

fn record_in(metrics: &Metrics, series: &Series, labels: &Labels, outcome: &Outcome) {
    series.duration.record(outcome.duration.as_secs_f64());
    series.response_bytes.record(outcome.response_bytes);
    if let Some(bytes) = outcome.request_bytes {
        let bound = || metrics.request_bytes.bind(labels.all(outcome).labels());
        series.request_bytes.get_or_init(bound).record(bytes);
    }
}
