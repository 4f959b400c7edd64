//! The metrics of HTTP servers by the OpenTelemetry semantic conventions. Labels take few values: nothing that a client can
//! make up is one.

use std::{borrow::Cow, fmt, sync::OnceLock, time::Duration};

use http::{Method, StatusCode, Version};
use opentelemetry::{
    InstrumentationScope, KeyValue, StringValue, Value,
    metrics::{BoundHistogram, BoundUpDownCounter, Histogram, Meter, UpDownCounter},
};
use opentelemetry_semantic_conventions::{SCHEMA_URL, attribute, metric};

use crate::{
    methods::{self, KNOWN, OTHER},
    routes::{KnownRoute, Routes},
    slots::Slots,
    versions::VERSIONS,
};

const SCHEMES: [&str; 2] = ["http", "https"];

/// How many sets of labels are bound for each route: a method or two, with a status or two, by a version or two.
const MAX_SERIES: usize = 16;

/// The buckets that the conventions advise for durations, seconds.
const DURATION_BUCKETS_S: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// From an empty body to 16 MiB, bytes. The SDK's own buckets end at 10,000.
const BODY_BUCKETS_BYTES: [f64; 13] = [
    0.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
];

/// The instruments.
///
/// They are bound to the labels of what succeeds as that comes. An instrument that is not bound compares and hashes all labels
/// with each measurement, four times for a request, which takes longer than all else that this layer does.
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    request_bytes: Histogram<u64>,
    response_bytes: Histogram<u64>,
    /// By method, the other ones last, and scheme.
    active_by: [[OnceLock<BoundUpDownCounter<i64>>; SCHEMES.len()]; methods::COUNT],
    pub(crate) routes: Routes,
    /// What no route has taken.
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

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Who makes spans and metrics, as exporters name it.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram(metric::HTTP_SERVER_REQUEST_DURATION)
                .with_unit("s")
                .with_description("Duration of HTTP server requests.")
                .with_boundaries(DURATION_BUCKETS_S.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter(metric::HTTP_SERVER_ACTIVE_REQUESTS)
                .with_unit("{request}")
                .with_description("Number of active HTTP server requests.")
                .build(),
            request_bytes: meter
                .u64_histogram(metric::HTTP_SERVER_REQUEST_BODY_SIZE)
                .with_unit("By")
                .with_description("Size of HTTP server request bodies.")
                .with_boundaries(BODY_BUCKETS_BYTES.to_vec())
                .build(),
            response_bytes: meter
                .u64_histogram(metric::HTTP_SERVER_RESPONSE_BODY_SIZE)
                .with_unit("By")
                .with_description("Size of HTTP server response bodies.")
                .with_boundaries(BODY_BUCKETS_BYTES.to_vec())
                .build(),
            active_by: Default::default(),
            routes: Routes::new(),
            unrouted: AllSeries::new(),
        }
    }

    pub(crate) fn begin(&self, labels: &Labels) {
        self.change_active(labels, 1);
    }

    /// The request is over.
    pub(crate) fn end(&self, labels: &Labels, over: &Over) {
        self.change_active(labels, -1);
        let series = match (over.status, &over.error, &labels.route) {
            (Some(status), None, None) => self.series(&self.unrouted, status, labels, over),
            (Some(status), None, Some(KnownRoute::Kept(template))) => {
                self.series(template.series(), status, labels, over)
            }
            // Of these there may be many.
            _ => None,
        };
        match series {
            Some(series) => self.record_in(series, labels, over),
            None => self.record(labels, over),
        }
    }

    /// What is bound to these labels; `None` if there is no room for more.
    fn series<'s>(&self, all: &'s AllSeries, status: StatusCode, labels: &Labels, over: &Over) -> Option<&'s Series> {
        let &Labels { method, scheme, version, .. } = labels;
        let key = SeriesKey { method, scheme, version, status };
        let bind = || {
            let all = labels.all(over);
            let series = Series {
                duration: self.duration.bind(all.labels()),
                response_bytes: self.response_bytes.bind(all.labels()),
                request_bytes: OnceLock::new(),
            };
            (key, series)
        };
        all.0.get_or_insert_with(0, |known| *known == key, bind)
    }

    fn change_active(&self, labels: &Labels, change: i64) {
        match self.active_by.get(labels.method).and_then(|by_scheme| by_scheme.get(labels.scheme)) {
            Some(bound) => bound.get_or_init(|| self.active.bind(&labels.of_request())).add(change),
            None => self.active.add(change, &labels.of_request()),
        }
    }

    fn record_in(&self, series: &Series, labels: &Labels, over: &Over) {
        series.duration.record(over.duration.as_secs_f64());
        series.response_bytes.record(over.response_bytes);
        if let Some(bytes) = over.request_bytes {
            let bound = || self.request_bytes.bind(labels.all(over).labels());
            series.request_bytes.get_or_init(bound).record(bytes);
        }
    }

    /// The long way: compares and hashes all labels, for each measurement.
    fn record(&self, labels: &Labels, over: &Over) {
        let all = labels.all(over);
        self.duration.record(over.duration.as_secs_f64(), all.labels());
        if let Some(bytes) = over.request_bytes {
            self.request_bytes.record(bytes, all.labels());
        }
        if over.status.is_some() {
            self.response_bytes.record(over.response_bytes, all.labels());
        }
    }
}

impl AllSeries {
    pub(crate) fn new() -> Self {
        Self(Slots::new(MAX_SERIES, MAX_SERIES))
    }
}

/// What is known of a request when it is over.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) duration: Duration,
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<StringValue>,
    pub(crate) request_bytes: Option<u64>,
    pub(crate) response_bytes: u64,
}

/// The labels that a request has from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// In [`KNOWN`], or after its end.
    method: usize,
    /// In [`SCHEMES`].
    scheme: usize,
    /// In [`VERSIONS`].
    version: Option<usize>,
    pub(crate) route: Option<KnownRoute>,
}

/// Labels in a place without an allocation; only the first `count` are meant.
struct All {
    labels: [KeyValue; 6],
    count: usize,
}

impl All {
    fn labels(&self) -> &[KeyValue] {
        self.labels.get(..self.count).unwrap_or_default()
    }
}

impl Labels {
    pub(crate) fn new(method: &Method, scheme: &str, version: Version, route: Option<KnownRoute>) -> Self {
        Self {
            method: methods::index_of(method),
            scheme: SCHEMES.iter().position(|known| *known == scheme).unwrap_or_default(),
            version: VERSIONS.iter().position(|(known, _)| *known == version),
            route,
        }
    }

    /// What the span is called.
    pub(crate) fn span_name(&self) -> Cow<'static, str> {
        match &self.route {
            Some(route) => route.span_name(self.method),
            None => methods::name_of(self.method).into(),
        }
    }

    /// The method, if it is a known one.
    pub(crate) fn known_method(&self) -> Option<&'static str> {
        KNOWN.get(self.method).map(|(_, text)| *text)
    }

    /// A known method, or `_OTHER`.
    pub(crate) fn method(&self) -> &'static str {
        self.known_method().unwrap_or(OTHER)
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        SCHEMES.get(self.scheme).copied().unwrap_or_default()
    }

    /// The version of HTTP as the conventions write it.
    pub(crate) fn version(&self) -> Option<&'static str> {
        VERSIONS.get(self.version?).map(|(_, text)| *text)
    }

    fn of_request(&self) -> [KeyValue; 2] {
        [
            KeyValue::new(attribute::HTTP_REQUEST_METHOD, self.method()),
            KeyValue::new(attribute::URL_SCHEME, self.scheme()),
        ]
    }

    fn all(&self, over: &Over) -> All {
        let [method, scheme] = self.of_request();
        let nothing = || KeyValue::new("", false);
        let mut all = All { labels: [method, scheme, nothing(), nothing(), nothing(), nothing()], count: 2 };
        let mut push = |key: &'static str, value: Value| {
            if let Some(place) = all.labels.get_mut(all.count) {
                *place = KeyValue::new(key, value);
                all.count += 1;
            }
        };
        if let Some(status) = over.status {
            push(attribute::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()).into());
        }
        if let Some(version) = self.version() {
            push(attribute::NETWORK_PROTOCOL_VERSION, version.into());
        }
        if let Some(KnownRoute::Kept(template)) = &self.route {
            push(attribute::HTTP_ROUTE, template.as_str().into());
        }
        if let Some(error) = &over.error {
            push(attribute::ERROR_TYPE, Value::String(error.clone()));
        }
        all
    }
}
