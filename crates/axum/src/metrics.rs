//! HTTP server metrics by the OpenTelemetry semantic conventions. The labels have few values: a value that clients
//! choose freely is never a label.

#[cfg(feature = "bound-instruments")]
mod bound;
#[cfg(not(feature = "bound-instruments"))]
mod direct;

use std::{borrow::Cow, fmt, time::Duration};

use http::{Method, StatusCode, Version};
use opentelemetry::{
    InstrumentationScope, KeyValue, StringValue, Value,
    metrics::{Histogram, Meter, UpDownCounter},
};
use opentelemetry_semantic_conventions::{SCHEMA_URL, attribute, metric};

use crate::{
    methods::{self, KNOWN, OTHER},
    routes::{KnownRoute, Routes},
    versions::VERSIONS,
};
#[cfg(feature = "bound-instruments")]
pub(crate) use bound::AllSeries;
#[cfg(feature = "bound-instruments")]
use bound::Bound as Recorder;
#[cfg(not(feature = "bound-instruments"))]
pub(crate) use direct::AllSeries;
#[cfg(not(feature = "bound-instruments"))]
use direct::Direct as Recorder;

const SCHEMES: [&str; 2] = ["http", "https"];

/// The buckets that the semantic conventions recommend for durations, in seconds.
const DURATION_BUCKETS_S: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Buckets from an empty body to 16 MiB, in bytes. The SDK's default buckets end at 10,000.
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

/// The instruments and the route templates.
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    request_bytes: Histogram<u64>,
    response_bytes: Histogram<u64>,
    recorder: Recorder,
    pub(crate) routes: Routes,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Returns the instrumentation scope of the layer's metrics.
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
            recorder: Recorder::default(),
            routes: Routes::new(),
        }
    }

    pub(crate) fn begin(&self, labels: &Labels) {
        self.recorder.change_active(self, labels, 1);
    }

    /// Records the end of a request.
    pub(crate) fn end(&self, labels: &Labels, outcome: &Outcome) {
        self.recorder.change_active(self, labels, -1);
        self.recorder.record(self, labels, outcome);
    }

    /// Records with unbound instruments: the SDK compares and hashes all labels for each measurement.
    fn record(&self, labels: &Labels, outcome: &Outcome) {
        let all = labels.all(outcome);
        self.duration.record(outcome.duration.as_secs_f64(), all.labels());
        if let Some(bytes) = outcome.request_bytes {
            self.request_bytes.record(bytes, all.labels());
        }
        if outcome.status.is_some() {
            self.response_bytes.record(outcome.response_bytes, all.labels());
        }
    }
}

/// The result of a request that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) duration: Duration,
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<StringValue>,
    pub(crate) request_bytes: Option<u64>,
    pub(crate) response_bytes: u64,
}

/// The labels that are known when a request starts.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// An index into [`KNOWN`], or `KNOWN.len()`.
    method: usize,
    /// An index into [`SCHEMES`].
    scheme: usize,
    /// An index into [`VERSIONS`].
    version: Option<usize>,
    pub(crate) route: Option<KnownRoute>,
}

/// Labels on the stack; only the first `count` are used.
struct All {
    labels: [KeyValue; 6],
    count: usize,
}

impl All {
    fn labels(&self) -> &[KeyValue] {
        self.labels.get(..self.count).expect("count is at most the number of labels")
    }
}

impl Labels {
    /// Creates the labels. `scheme` must be one of [`SCHEMES`].
    pub(crate) fn new(method: &Method, scheme: &'static str, version: Version, route: Option<KnownRoute>) -> Self {
        Self {
            method: methods::index_of(method),
            scheme: SCHEMES.iter().position(|known| *known == scheme).expect("the scheme is http or https"),
            version: VERSIONS.iter().position(|(known, _)| *known == version),
            route,
        }
    }

    /// Returns the name of the span.
    pub(crate) fn span_name(&self) -> Cow<'static, str> {
        match &self.route {
            Some(route) => route.span_name(self.method),
            None => methods::name_of(self.method).into(),
        }
    }

    /// Returns the method, if it is a known one.
    pub(crate) fn known_method(&self) -> Option<&'static str> {
        KNOWN.get(self.method).map(|(_, text)| *text)
    }

    /// Returns the method, or `_OTHER` if it is unknown.
    pub(crate) fn method(&self) -> &'static str {
        self.known_method().unwrap_or(OTHER)
    }

    /// Returns `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        SCHEMES.get(self.scheme).copied().expect("the index is within SCHEMES")
    }

    /// Returns the HTTP version as the semantic conventions write it.
    pub(crate) fn version(&self) -> Option<&'static str> {
        VERSIONS.get(self.version?).map(|(_, text)| *text)
    }

    fn of_request(&self) -> [KeyValue; 2] {
        [
            KeyValue::new(attribute::HTTP_REQUEST_METHOD, self.method()),
            KeyValue::new(attribute::URL_SCHEME, self.scheme()),
        ]
    }

    fn all(&self, outcome: &Outcome) -> All {
        let [method, scheme] = self.of_request();
        let nothing = || KeyValue::new("", false);
        let mut all = All { labels: [method, scheme, nothing(), nothing(), nothing(), nothing()], count: 2 };
        let mut push = |key: &'static str, value: Value| {
            if let Some(place) = all.labels.get_mut(all.count) {
                *place = KeyValue::new(key, value);
                all.count += 1;
            }
        };
        if let Some(status) = outcome.status {
            push(attribute::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()).into());
        }
        if let Some(version) = self.version() {
            push(attribute::NETWORK_PROTOCOL_VERSION, version.into());
        }
        if let Some(KnownRoute::Kept(template)) = &self.route {
            push(attribute::HTTP_ROUTE, template.as_str().into());
        }
        if let Some(error) = &outcome.error {
            push(attribute::ERROR_TYPE, Value::String(error.clone()));
        }
        all
    }
}
