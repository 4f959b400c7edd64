//! Measurements by instruments that are bound to the labels of what succeeds, as that comes.
//!
//! An instrument that is not bound compares and hashes all labels with each measurement, four times for a request, which takes longer
//! than all else that this layer does.

use std::sync::OnceLock;

use http::StatusCode;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter};

use super::{Labels, Metrics, Over, SCHEMES};
use crate::{methods, routes::KnownRoute, slots::Slots};

/// How many sets of labels are bound for each route: a method or two, with a status or two, by a version or two.
const MAX_SERIES: usize = 16;

/// What is bound so far; that of a route is kept with the route.
pub(crate) struct Bound {
    /// By method, the other ones last, and scheme.
    active: [[OnceLock<BoundUpDownCounter<i64>>; SCHEMES.len()]; methods::COUNT],
    /// Requests that matched no route.
    unrouted: AllSeries,
}

/// What is bound for one route.
pub(crate) struct AllSeries(Slots<SeriesKey, Series>);

/// The labels of a request that has succeeded, without its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeriesKey {
    method: usize,
    scheme: usize,
    version: Option<usize>,
    status: StatusCode,
}

/// Bound to one set of labels.
struct Series {
    duration: BoundHistogram<f64>,
    response_bytes: BoundHistogram<u64>,
    /// Bound with the first request that has a body: what is bound is exported, if only as nothing.
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

    pub(super) fn record(&self, metrics: &Metrics, labels: &Labels, over: &Over) {
        let series = match (over.status, &over.error, &labels.route) {
            (Some(status), None, None) => series(metrics, &self.unrouted, status, labels, over),
            (Some(status), None, Some(KnownRoute::Kept(template))) => {
                series(metrics, template.series(), status, labels, over)
            }
            // Of these there may be many.
            _ => None,
        };
        match series {
            Some(series) => record_in(metrics, series, labels, over),
            None => metrics.record(labels, over),
        }
    }
}

/// What is bound to these labels; `None` if there is no room for more.
fn series<'s>(
    metrics: &Metrics,
    all: &'s AllSeries,
    status: StatusCode,
    labels: &Labels,
    over: &Over,
) -> Option<&'s Series> {
    let &Labels { method, scheme, version, .. } = labels;
    let key = SeriesKey { method, scheme, version, status };
    let bind = || {
        let all = labels.all(over);
        let series = Series {
            duration: metrics.duration.bind(all.labels()),
            response_bytes: metrics.response_bytes.bind(all.labels()),
            request_bytes: OnceLock::new(),
        };
        (key, series)
    };
    all.0.get_or_insert_with(0, |known| *known == key, bind)
}

fn record_in(metrics: &Metrics, series: &Series, labels: &Labels, over: &Over) {
    series.duration.record(over.duration.as_secs_f64());
    series.response_bytes.record(over.response_bytes);
    if let Some(bytes) = over.request_bytes {
        let bound = || metrics.request_bytes.bind(labels.all(over).labels());
        series.request_bytes.get_or_init(bound).record(bytes);
    }
}
