//! Data points of metrics. On the wire, a metric holds many points; here, each point is a record with its metric.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};

use crate::{KeyValue, Reason, Record, Resource, Scope, Signal, value};

/// The kind of a metric, which determines the type of its points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A value at a point in time.
    #[default]
    Gauge,
    /// A sum of values.
    Sum,
    /// A distribution over buckets with explicit bounds.
    Histogram,
    /// A distribution over buckets of exponentially growing size.
    ExponentialHistogram,
    /// Quantiles that the sender computed.
    Summary,
}

impl MetricKind {
    /// Returns `gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }
}

/// The interval that a point of a sum or a histogram covers (`AggregationTemporality`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Not specified by the sender, or unknown. Gauges and summaries have no temporality.
    #[default]
    Unspecified,
    /// Since the previous point.
    Delta,
    /// Since a fixed start time.
    Cumulative,
}

impl Temporality {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns the temporality with this number; [`Temporality::Unspecified`] for an unknown number.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// A metric without its points: `Metric` of `opentelemetry/proto/metrics/v1/metrics.proto` without its data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// The name, such as `http.server.request.duration`.
    pub name: String,
    /// The description; may be empty.
    pub description: String,
    /// The unit (UCUM), such as `s` or `By`; may be empty.
    pub unit: String,
    /// Further attributes of the metric.
    pub metadata: Vec<KeyValue>,
    /// The kind of the metric.
    pub kind: MetricKind,
    /// The interval that the points cover.
    pub temporality: Temporality,
    /// Whether a sum never decreases.
    pub is_monotonic: bool,
}

/// An integer or a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
}

/// A histogram with explicit bucket bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The number of values.
    pub count: u64,
    /// The sum of the values, if known.
    pub sum: Option<f64>,
    /// The minimum, if known.
    pub min: Option<f64>,
    /// The maximum, if known.
    pub max: Option<f64>,
    /// The upper bounds of all buckets except the last, in ascending order.
    pub bounds: Vec<f64>,
    /// The number of values in each bucket: one more than there are bounds, or empty.
    pub bucket_counts: Vec<u64>,
}

/// Consecutive buckets of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The index of the first bucket.
    pub offset: i32,
    /// The number of values in each bucket.
    pub counts: Vec<u64>,
}

/// A histogram with exponentially growing buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialHistogram {
    /// The number of values.
    pub count: u64,
    /// The sum of the values, if known.
    pub sum: Option<f64>,
    /// The minimum, if known.
    pub min: Option<f64>,
    /// The maximum, if known.
    pub max: Option<f64>,
    /// The scale: the base of the bucket bounds is 2^(2^-scale).
    pub scale: i32,
    /// The number of values that count as zero.
    pub zero_count: u64,
    /// The absolute value up to which a value counts as zero.
    pub zero_threshold: f64,
    /// The buckets of positive values.
    pub positive: Buckets,
    /// The buckets of negative values.
    pub negative: Buckets,
}

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// The quantile, from 0 to 1.
    pub quantile: f64,
    /// The value at the quantile.
    pub value: f64,
}

/// The value of a summary: quantiles that the sender computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantileSummary {
    /// The number of values.
    pub count: u64,
    /// The sum of the values.
    pub sum: f64,
    /// The quantiles, in ascending order.
    pub quantiles: Vec<Quantile>,
}

/// The value of a data point.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PointValue {
    /// No value; valid only if the point is flagged as having none.
    #[default]
    Empty,
    /// The value of a gauge or a sum.
    Number(Number),
    /// The value of a histogram.
    Histogram(Histogram),
    /// The value of an exponential histogram.
    ExponentialHistogram(Box<ExponentialHistogram>),
    /// The value of a summary.
    Summary(QuantileSummary),
}

/// A single measurement with the span in which it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// When it was measured, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The measured value.
    pub value: Option<Number>,
    /// The id of the trace; `None` if absent or invalid.
    pub trace_id: Option<TraceId>,
    /// The id of the span; `None` if absent or invalid.
    pub span_id: Option<SpanId>,
    /// The attributes of the measurement that the point does not have.
    pub attributes: Vec<KeyValue>,
}

/// A point of a series, which is identified by metric, attributes, resource and scope.
#[derive(Clone, Debug, PartialEq)]
pub struct DataPoint {
    /// The metric; points of one message share it.
    pub metric: Arc<Metric>,
    /// The attributes that identify the series within the metric.
    pub attributes: Vec<KeyValue>,
    /// The start of the interval that the point covers, in nanoseconds since the Unix epoch; 0 if unknown.
    pub start_ns: u64,
    /// The time of the point, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// `DataPointFlags`; bit 0 is set if the point has no value.
    pub flags: u32,
    /// The value.
    pub value: PointValue,
    /// Examples of the measurements that the point aggregates.
    pub exemplars: Vec<Exemplar>,
    /// The source of the point.
    pub resource: Arc<Resource>,
    /// The instrumentation library.
    pub scope: Arc<Scope>,
}

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_RECORDED_VALUE: u32 = 1;

impl DataPoint {
    /// Creates a point of this metric without a value; its times are 0.
    #[must_use]
    pub fn new(metric: Arc<Metric>, resource: Arc<Resource>, scope: Arc<Scope>) -> Self {
        Self {
            metric,
            attributes: Vec::new(),
            start_ns: 0,
            time_ns: 0,
            flags: 0,
            value: PointValue::Empty,
            exemplars: Vec::new(),
            resource,
            scope,
        }
    }

    /// Returns whether the point is flagged as having no value, as when a program has ended.
    #[must_use]
    pub const fn is_without_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    /// Validates the point.
    pub(crate) fn check(self) -> Result<Self, crate::Rejection> {
        match self.problem() {
            None => Ok(self),
            Some(reason) => Err(crate::Rejection::of(&self, reason)),
        }
    }

    fn problem(&self) -> Option<Reason> {
        let deep = value::any_too_deep(&self.attributes)
            || value::any_too_deep(&self.metric.metadata)
            || self.exemplars.iter().any(|exemplar| value::any_too_deep(&exemplar.attributes));
        if deep {
            return Some(Reason::TooDeep);
        }
        if self.metric.name.is_empty() {
            return Some(Reason::Point("the metric has no name"));
        }
        match &self.value {
            PointValue::Empty if !self.is_without_value() => Some(Reason::Point("it has no value")),
            PointValue::Histogram(histogram) => histogram.problem().map(Reason::Point),
            _ => None,
        }
    }
}

impl Histogram {
    fn problem(&self) -> Option<&'static str> {
        if self.bucket_counts.is_empty() && self.bounds.is_empty() {
            return None;
        }
        if self.bucket_counts.len() != self.bounds.len() + 1 {
            return Some("it does not have one more bucket than bounds");
        }
        // NaN is rejected too: it has no order.
        let ascending = self.bounds.windows(2).all(|pair| pair[0] < pair[1]) && !self.bounds.iter().any(|b| b.is_nan());
        (!ascending).then_some("its bucket bounds are not in ascending order")
    }
}

impl Record for DataPoint {
    const SIGNAL: Signal = Signal::Metrics;

    fn title(&self) -> &str {
        &self.metric.name
    }

    fn source(&self) -> (&Arc<Resource>, &Arc<Scope>) {
        (&self.resource, &self.scope)
    }

    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn parts_mut(&mut self) -> (&mut Arc<Resource>, &mut Arc<Scope>, &mut Vec<KeyValue>) {
        (&mut self.resource, &mut self.scope, &mut self.attributes)
    }
}
