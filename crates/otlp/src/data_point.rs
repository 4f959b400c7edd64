//! Data points of metrics. On the wire a metric holds many; here each is a record that knows its metric.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};

use crate::{KeyValue, Reason, Record, Resource, Scope, Signal, value};

/// What a metric measures, and how its points are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A value at a time.
    #[default]
    Gauge,
    /// A value that is added up.
    Sum,
    /// A distribution over buckets with given bounds.
    Histogram,
    /// A distribution over buckets that grow exponentially.
    ExponentialHistogram,
    /// Quantiles that the sender computed.
    Summary,
}

impl MetricKind {
    /// `gauge`, `sum`, `histogram`, `exponential_histogram`, `summary`.
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

/// Since when a point of a sum or a histogram counts (`AggregationTemporality`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// The sender did not say, or said something unknown; gauges and summaries have none.
    #[default]
    Unspecified,
    /// Since the last point.
    Delta,
    /// Since a fixed time.
    Cumulative,
}

impl Temporality {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The temporality with that number; [`Temporality::Unspecified`] for a number that is not known.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// What the points of one metric share: `Metric` of `opentelemetry/proto/metrics/v1/metrics.proto` without its data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// Its name, such as `http.server.request.duration`.
    pub name: String,
    /// What it is in words; may be empty.
    pub description: String,
    /// Its unit (UCUM), such as `s` or `By`; may be empty.
    pub unit: String,
    /// What else is known about it.
    pub metadata: Vec<KeyValue>,
    /// How its points are to be read.
    pub kind: MetricKind,
    /// Since when they count.
    pub temporality: Temporality,
    /// Whether a sum only ever grows.
    pub is_monotonic: bool,
}

/// A whole or a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
}

/// Counts in buckets with given bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many values there were.
    pub count: u64,
    /// Their sum, if it means anything.
    pub sum: Option<f64>,
    /// The least of them.
    pub min: Option<f64>,
    /// The greatest of them.
    pub max: Option<f64>,
    /// The upper bounds of all buckets but the last, in ascending order.
    pub bounds: Vec<f64>,
    /// How many values each bucket holds: one more than there are bounds, or none at all.
    pub bucket_counts: Vec<u64>,
}

/// Buckets that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The index of the first.
    pub offset: i32,
    /// How many values each holds.
    pub counts: Vec<u64>,
}

/// Counts in buckets that grow exponentially.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialHistogram {
    /// How many values there were.
    pub count: u64,
    /// Their sum, if it means anything.
    pub sum: Option<f64>,
    /// The least of them.
    pub min: Option<f64>,
    /// The greatest of them.
    pub max: Option<f64>,
    /// The base of the bounds is 2^(2^-scale).
    pub scale: i32,
    /// How many values are as good as zero.
    pub zero_count: u64,
    /// Up to where a value is as good as zero.
    pub zero_threshold: f64,
    /// Of values above zero.
    pub positive: Buckets,
    /// Of values below zero.
    pub negative: Buckets,
}

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// From 0 to 1.
    pub quantile: f64,
    /// The value there.
    pub value: f64,
}

/// Quantiles that the sender computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantileSummary {
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Ascending by quantile.
    pub quantiles: Vec<Quantile>,
}

/// What a point says.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PointValue {
    /// Nothing: valid only together with the flag that says so.
    #[default]
    Empty,
    /// Of a gauge or a sum.
    Number(Number),
    /// Of a histogram.
    Histogram(Histogram),
    /// Of an exponential histogram.
    ExponentialHistogram(Box<ExponentialHistogram>),
    /// Of a summary.
    Summary(QuantileSummary),
}

/// A single value with the span in which it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// When, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// What was measured.
    pub value: Option<Number>,
    /// The trace in whose course it was; one that is not valid is left out.
    pub trace_id: Option<TraceId>,
    /// The span, likewise.
    pub span_id: Option<SpanId>,
    /// What is not among the attributes of the point.
    pub attributes: Vec<KeyValue>,
}

/// One point of one series: a metric, the attributes, and who made it.
#[derive(Clone, Debug, PartialEq)]
pub struct DataPoint {
    /// The metric; points that come together share it.
    pub metric: Arc<Metric>,
    /// What tells its series from others of the metric.
    pub attributes: Vec<KeyValue>,
    /// Since when it counts, in nanoseconds since the Unix epoch; 0 if that is not known.
    pub start_ns: u64,
    /// When it was so, likewise.
    pub time_ns: u64,
    /// `DataPointFlags`: bit 0 says that there is no value.
    pub flags: u32,
    /// What it says.
    pub value: PointValue,
    /// A few of the values that it sums up.
    pub exemplars: Vec<Exemplar>,
    /// Who made it.
    pub resource: Arc<Resource>,
    /// The library that made it.
    pub scope: Arc<Scope>,
}

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_RECORDED_VALUE: u32 = 1;

impl DataPoint {
    /// A point of this metric that says nothing, at no time.
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

    /// Whether it says that there is no value, as when a program has ended.
    #[must_use]
    pub const fn is_without_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    /// What is wrong with it, whoever sent it.
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
            return Some("there must be one bucket more than there are bounds");
        }
        // Also refuses NaN, which is neither before nor after anything.
        let ascending = self.bounds.windows(2).all(|pair| pair[0] < pair[1]) && !self.bounds.iter().any(|b| b.is_nan());
        (!ascending).then_some("the bounds of its buckets do not ascend")
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
