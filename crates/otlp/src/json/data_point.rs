//! Metrics with their data points in JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_context::{SpanId, TraceId};

use super::{
    Json,
    number::{Enumeration, Float, Named, Whole, nullable},
    read::parse,
    value::{FloatOut, KeyValueIn, KeyValueOut, attributes, attributes_out},
    write::{display, display_some, is_zero},
};
use crate::{
    Buckets, DataPoint, DecodeError, Decoded, Exemplar, ExponentialHistogram, Histogram, Metric, MetricKind, Number,
    PointValue, Quantile, QuantileSummary, Rejection, Signal, Temporality, record::Shared,
};

/// A metric whose points are left as text; see `body`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MetricIn<'a> {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    description: String,
    #[serde(deserialize_with = "nullable")]
    unit: String,
    #[serde(deserialize_with = "nullable")]
    metadata: Vec<KeyValueIn>,
    #[serde(borrow)]
    gauge: Option<&'a RawValue>,
    #[serde(borrow)]
    sum: Option<&'a RawValue>,
    #[serde(borrow)]
    histogram: Option<&'a RawValue>,
    #[serde(borrow)]
    exponential_histogram: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PointsIn<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    data_points: Vec<&'a RawValue>,
    #[serde(deserialize_with = "nullable")]
    aggregation_temporality: Enumeration<TemporalityNames>,
    #[serde(deserialize_with = "nullable")]
    is_monotonic: bool,
}

#[derive(Default)]
struct TemporalityNames;

impl Named for TemporalityNames {
    fn number(name: &str) -> Option<i32> {
        match name {
            "AGGREGATION_TEMPORALITY_UNSPECIFIED" => Some(0),
            "AGGREGATION_TEMPORALITY_DELTA" => Some(1),
            "AGGREGATION_TEMPORALITY_CUMULATIVE" => Some(2),
            _ => None,
        }
    }
}

/// A point of any kind. Fields of the same name have the same meaning in all kinds.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PointIn {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    start_time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Whole<u64>,
    #[serde(deserialize_with = "nullable")]
    flags: Whole<u32>,
    #[serde(deserialize_with = "nullable")]
    exemplars: Vec<ExemplarIn>,
    as_int: Option<Whole<i64>>,
    as_double: Option<Float>,
    #[serde(deserialize_with = "nullable")]
    count: Whole<u64>,
    sum: Option<Float>,
    min: Option<Float>,
    max: Option<Float>,
    #[serde(deserialize_with = "nullable")]
    explicit_bounds: Vec<Float>,
    #[serde(deserialize_with = "nullable")]
    bucket_counts: Vec<Whole<u64>>,
    #[serde(deserialize_with = "nullable")]
    scale: Whole<i32>,
    #[serde(deserialize_with = "nullable")]
    zero_count: Whole<u64>,
    zero_threshold: Option<Float>,
    #[serde(deserialize_with = "nullable")]
    positive: BucketsIn,
    #[serde(deserialize_with = "nullable")]
    negative: BucketsIn,
    #[serde(deserialize_with = "nullable")]
    quantile_values: Vec<QuantileIn>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BucketsIn {
    #[serde(deserialize_with = "nullable")]
    offset: Whole<i32>,
    #[serde(deserialize_with = "nullable")]
    bucket_counts: Vec<Whole<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QuantileIn {
    quantile: Option<Float>,
    value: Option<Float>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ExemplarIn {
    #[serde(deserialize_with = "nullable")]
    filtered_attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Whole<u64>,
    as_int: Option<Whole<i64>>,
    as_double: Option<Float>,
    #[serde(deserialize_with = "nullable")]
    trace_id: String,
    #[serde(deserialize_with = "nullable")]
    span_id: String,
}

/// Returns the metric, and its points as text.
fn split(object: &[u8]) -> Result<(Arc<Metric>, Vec<&RawValue>), DecodeError> {
    let metric: MetricIn<'_> = parse(object)?;
    let kinds = [
        (MetricKind::Gauge, metric.gauge),
        (MetricKind::Sum, metric.sum),
        (MetricKind::Histogram, metric.histogram),
        (MetricKind::ExponentialHistogram, metric.exponential_histogram),
        (MetricKind::Summary, metric.summary),
    ];
    let (kind, points) = match kinds.into_iter().find_map(|(kind, points)| Some((kind, points?))) {
        Some((kind, points)) => (kind, parse::<PointsIn<'_>>(points.get().as_bytes())?),
        None => Default::default(),
    };
    let metric = Metric {
        name: metric.name,
        description: metric.description,
        unit: metric.unit,
        metadata: attributes(metric.metadata),
        kind,
        temporality: match kind {
            MetricKind::Gauge | MetricKind::Summary => Temporality::Unspecified,
            _ => Temporality::from_number(points.aggregation_temporality.0),
        },
        is_monotonic: kind == MetricKind::Sum && points.is_monotonic,
    };
    Ok((Arc::new(metric), points.data_points))
}

impl Json for DataPoint {
    type Out<'a> = MetricOut<'a>;

    fn from_json(object: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError> {
        let (metric, points) = split(object)?;
        read_point(&metric, points.first().map_or("{}", |point| point.get()), shared)
    }

    fn all_from_json(object: &[u8], shared: &Shared, decoded: &mut Decoded<Self>) -> Result<(), DecodeError> {
        let (metric, points) = split(object)?;
        points.iter().try_for_each(|point| decoded.push(read_point(&metric, point.get(), shared)?))
    }

    fn to_json(&self) -> Self::Out<'_> {
        metric_out(self)
    }
}

fn number(as_int: Option<Whole<i64>>, as_double: Option<Float>) -> Option<Number> {
    as_int.map(|number| Number::Int(number.0)).or_else(|| as_double.map(|number| Number::Double(number.0)))
}

fn read_point(metric: &Arc<Metric>, text: &str, shared: &Shared) -> Result<Result<DataPoint, Rejection>, DecodeError> {
    let point: PointIn = parse(text.as_bytes())?;
    if let Err(reason) = shared.check() {
        return Ok(Err(Rejection::new(Signal::Metrics, &metric.name, reason)));
    }
    let optional = |number: Option<Float>| number.map(|number| number.0);
    let wholes = |numbers: Vec<Whole<u64>>| numbers.into_iter().map(|number| number.0).collect();
    let buckets = |of: BucketsIn| Buckets { offset: of.offset.0, counts: wholes(of.bucket_counts) };
    let value = match metric.kind {
        MetricKind::Gauge | MetricKind::Sum => {
            number(point.as_int, point.as_double).map_or(PointValue::Empty, PointValue::Number)
        }
        MetricKind::Histogram => PointValue::Histogram(Histogram {
            count: point.count.0,
            sum: optional(point.sum),
            min: optional(point.min),
            max: optional(point.max),
            bounds: point.explicit_bounds.into_iter().map(|bound| bound.0).collect(),
            bucket_counts: wholes(point.bucket_counts),
        }),
        MetricKind::ExponentialHistogram => PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
            count: point.count.0,
            sum: optional(point.sum),
            min: optional(point.min),
            max: optional(point.max),
            scale: point.scale.0,
            zero_count: point.zero_count.0,
            zero_threshold: optional(point.zero_threshold).unwrap_or(0.0),
            positive: buckets(point.positive),
            negative: buckets(point.negative),
        })),
        MetricKind::Summary => PointValue::Summary(QuantileSummary {
            count: point.count.0,
            sum: optional(point.sum).unwrap_or(0.0),
            quantiles: point
                .quantile_values
                .into_iter()
                .map(|at| Quantile {
                    quantile: optional(at.quantile).unwrap_or(0.0),
                    value: optional(at.value).unwrap_or(0.0),
                })
                .collect(),
        }),
    };
    let exemplars = if metric.kind == MetricKind::Summary { Vec::new() } else { point.exemplars };
    let point = DataPoint {
        metric: Arc::clone(metric),
        attributes: attributes(point.attributes),
        start_ns: point.start_time_unix_nano.0,
        time_ns: point.time_unix_nano.0,
        flags: point.flags.0,
        value,
        exemplars: exemplars.into_iter().map(exemplar).collect(),
        resource: Arc::clone(&shared.resource),
        scope: Arc::clone(&shared.scope),
    };
    Ok(point.check())
}

fn exemplar(exemplar: ExemplarIn) -> Exemplar {
    Exemplar {
        time_ns: exemplar.time_unix_nano.0,
        value: number(exemplar.as_int, exemplar.as_double),
        trace_id: TraceId::from_hex(&exemplar.trace_id).ok(),
        span_id: SpanId::from_hex(&exemplar.span_id).ok(),
        attributes: attributes(exemplar.filtered_attributes),
    }
}

/// The serializable form of a metric with one point.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gauge: Option<PointsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<PointsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<PointsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exponential_histogram: Option<PointsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<PointsOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PointsOut<'a> {
    data_points: [PointOut<'a>; 1],
    #[serde(skip_serializing_if = "is_zero")]
    aggregation_temporality: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_monotonic: bool,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PointOut<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(serialize_with = "display")]
    start_time_unix_nano: u64,
    #[serde(serialize_with = "display")]
    time_unix_nano: u64,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exemplars: Vec<ExemplarOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    as_int: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_double: Option<FloatOut>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<FloatOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<FloatOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<FloatOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    explicit_bounds: Vec<FloatOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bucket_counts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    zero_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zero_threshold: Option<FloatOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    positive: Option<BucketsOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    negative: Option<BucketsOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quantile_values: Vec<QuantileOut>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BucketsOut {
    offset: i32,
    bucket_counts: Vec<String>,
}

#[derive(Serialize)]
struct QuantileOut {
    quantile: FloatOut,
    value: FloatOut,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExemplarOut<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filtered_attributes: Vec<KeyValueOut<'a>>,
    #[serde(serialize_with = "display")]
    time_unix_nano: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    as_int: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_double: Option<FloatOut>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "display_some")]
    span_id: Option<SpanId>,
}

fn metric_out(point: &DataPoint) -> MetricOut<'_> {
    let metric = &point.metric;
    let points = Some(PointsOut {
        data_points: [point_out(point)],
        aggregation_temporality: metric.temporality.number().unsigned_abs(),
        is_monotonic: metric.is_monotonic,
    });
    let mut out = MetricOut {
        name: &metric.name,
        description: &metric.description,
        unit: &metric.unit,
        metadata: attributes_out(&metric.metadata),
        ..MetricOut::default()
    };
    match metric.kind {
        MetricKind::Gauge => out.gauge = points,
        MetricKind::Sum => out.sum = points,
        MetricKind::Histogram => out.histogram = points,
        MetricKind::ExponentialHistogram => out.exponential_histogram = points,
        MetricKind::Summary => out.summary = points,
    }
    out
}

fn numbers_out(number: Option<Number>) -> (Option<i64>, Option<FloatOut>) {
    match number {
        Some(Number::Int(number)) => (Some(number), None),
        Some(Number::Double(number)) => (None, Some(FloatOut(number))),
        None => (None, None),
    }
}

fn point_out(point: &DataPoint) -> PointOut<'_> {
    let mut out = PointOut {
        attributes: attributes_out(&point.attributes),
        start_time_unix_nano: point.start_ns,
        time_unix_nano: point.time_ns,
        flags: point.flags,
        exemplars: point.exemplars.iter().map(exemplar_out).collect(),
        ..PointOut::default()
    };
    let wholes = |numbers: &[u64]| numbers.iter().map(ToString::to_string).collect();
    let buckets = |buckets: &Buckets| {
        (*buckets != Buckets::default())
            .then(|| BucketsOut { offset: buckets.offset, bucket_counts: wholes(&buckets.counts) })
    };
    match &point.value {
        PointValue::Empty => {}
        PointValue::Number(number) => (out.as_int, out.as_double) = numbers_out(Some(*number)),
        PointValue::Histogram(histogram) => {
            out.count = Some(histogram.count);
            out.sum = histogram.sum.map(FloatOut);
            out.min = histogram.min.map(FloatOut);
            out.max = histogram.max.map(FloatOut);
            out.explicit_bounds = histogram.bounds.iter().copied().map(FloatOut).collect();
            out.bucket_counts = wholes(&histogram.bucket_counts);
        }
        PointValue::ExponentialHistogram(histogram) => {
            out.count = Some(histogram.count);
            out.sum = histogram.sum.map(FloatOut);
            out.min = histogram.min.map(FloatOut);
            out.max = histogram.max.map(FloatOut);
            out.scale = Some(histogram.scale);
            out.zero_count = Some(histogram.zero_count);
            out.zero_threshold = Some(FloatOut(histogram.zero_threshold));
            out.positive = buckets(&histogram.positive);
            out.negative = buckets(&histogram.negative);
        }
        PointValue::Summary(summary) => {
            out.count = Some(summary.count);
            out.sum = Some(FloatOut(summary.sum));
            let quantile = |at: &Quantile| QuantileOut { quantile: FloatOut(at.quantile), value: FloatOut(at.value) };
            out.quantile_values = summary.quantiles.iter().map(quantile).collect();
        }
    }
    out
}

fn exemplar_out(exemplar: &Exemplar) -> ExemplarOut<'_> {
    let (as_int, as_double) = numbers_out(exemplar.value);
    ExemplarOut {
        filtered_attributes: attributes_out(&exemplar.attributes),
        time_unix_nano: exemplar.time_ns,
        as_int,
        as_double,
        trace_id: exemplar.trace_id,
        span_id: exemplar.span_id,
    }
}
