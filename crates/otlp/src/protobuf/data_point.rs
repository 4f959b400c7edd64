//! `Metric` messages with their data points.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    common::v1 as common,
    metrics::v1::{self as metrics, exemplar, exponential_histogram_data_point as exponential, number_data_point},
};
use prost::{Message, bytes::Bytes};
use throughline_context::{SpanId, TraceId};

use super::{Protobuf, read, write};
use crate::{
    Buckets, DataPoint, DecodeError, Decoded, Exemplar, ExponentialHistogram, Histogram, Metric, MetricKind, Number,
    PointValue, Quantile, QuantileSummary, Rejection, Signal, Temporality, record::Shared,
};

// A metric whose points are left as bytes, as the records in `body`. It has the same wire format as `Metric` and its
// five kinds of data, whose common fields have the same numbers.

#[derive(Clone, PartialEq, Message)]
struct MetricMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Points>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Points>,
    #[prost(message, optional, tag = "9")]
    histogram: Option<Points>,
    #[prost(message, optional, tag = "10")]
    exponential_histogram: Option<Points>,
    #[prost(message, optional, tag = "11")]
    summary: Option<Points>,
    #[prost(message, repeated, tag = "12")]
    metadata: Vec<common::KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Points {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    data_points: Vec<Bytes>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

impl MetricMessage {
    fn take_points(&mut self) -> Option<(MetricKind, Points)> {
        let kinds = [
            (MetricKind::Gauge, &mut self.gauge),
            (MetricKind::Sum, &mut self.sum),
            (MetricKind::Histogram, &mut self.histogram),
            (MetricKind::ExponentialHistogram, &mut self.exponential_histogram),
            (MetricKind::Summary, &mut self.summary),
        ];
        kinds.into_iter().find_map(|(kind, points)| Some((kind, points.take()?)))
    }
}

/// Returns the metric, and its points as bytes.
fn split(message: &[u8]) -> Result<(Arc<Metric>, Vec<Bytes>), DecodeError> {
    let mut message = MetricMessage::decode(Bytes::copy_from_slice(message))?;
    // default: a metric without data is a gauge without points
    let (kind, points) = message.take_points().unwrap_or_default();
    let metric = Metric {
        name: message.name,
        description: message.description,
        unit: message.unit,
        metadata: read::attributes(message.metadata),
        kind,
        temporality: match kind {
            MetricKind::Gauge | MetricKind::Summary => Temporality::Unspecified,
            _ => Temporality::from_number(points.aggregation_temporality),
        },
        is_monotonic: kind == MetricKind::Sum && points.is_monotonic,
    };
    Ok((Arc::new(metric), points.data_points))
}

impl Protobuf for DataPoint {
    fn from_protobuf(message: &[u8], shared: &Shared) -> Result<Result<Self, Rejection>, DecodeError> {
        let (metric, points) = split(message)?;
        read_point(&metric, points.first().map_or(&[][..], |point| point), shared)
    }

    fn all_from_protobuf(message: &[u8], shared: &Shared, decoded: &mut Decoded<Self>) -> Result<(), DecodeError> {
        let (metric, points) = split(message)?;
        points.iter().try_for_each(|point| decoded.push(read_point(&metric, point, shared)?))
    }

    fn to_protobuf(&self) -> Vec<u8> {
        let metric = &self.metric;
        let points = Some(Points {
            data_points: vec![point_bytes(self).into()],
            aggregation_temporality: metric.temporality.number(),
            is_monotonic: metric.is_monotonic,
        });
        let mut message = MetricMessage {
            name: metric.name.clone(),
            description: metric.description.clone(),
            unit: metric.unit.clone(),
            metadata: write::attributes(&metric.metadata),
            ..MetricMessage::default()
        };
        match metric.kind {
            MetricKind::Gauge => message.gauge = points,
            MetricKind::Sum => message.sum = points,
            MetricKind::Histogram => message.histogram = points,
            MetricKind::ExponentialHistogram => message.exponential_histogram = points,
            MetricKind::Summary => message.summary = points,
        }
        message.encode_to_vec()
    }
}

fn read_point(
    metric: &Arc<Metric>,
    message: &[u8],
    shared: &Shared,
) -> Result<Result<DataPoint, Rejection>, DecodeError> {
    let point = match metric.kind {
        MetricKind::Gauge | MetricKind::Sum => number_point(metric, metrics::NumberDataPoint::decode(message)?, shared),
        MetricKind::Histogram => histogram_point(metric, metrics::HistogramDataPoint::decode(message)?, shared),
        MetricKind::ExponentialHistogram => {
            exponential_point(metric, metrics::ExponentialHistogramDataPoint::decode(message)?, shared)
        }
        MetricKind::Summary => summary_point(metric, metrics::SummaryDataPoint::decode(message)?, shared),
    };
    Ok(match shared.check() {
        Ok(()) => point.check(),
        Err(reason) => Err(Rejection::new(Signal::Metrics, &metric.name, reason)),
    })
}

fn blank(metric: &Arc<Metric>, shared: &Shared) -> DataPoint {
    DataPoint::new(Arc::clone(metric), Arc::clone(&shared.resource), Arc::clone(&shared.scope))
}

fn number_point(metric: &Arc<Metric>, message: metrics::NumberDataPoint, shared: &Shared) -> DataPoint {
    DataPoint {
        attributes: read::attributes(message.attributes),
        start_ns: message.start_time_unix_nano,
        time_ns: message.time_unix_nano,
        flags: message.flags,
        value: message.value.map_or(PointValue::Empty, |value| {
            PointValue::Number(match value {
                number_data_point::Value::AsInt(number) => Number::Int(number),
                number_data_point::Value::AsDouble(number) => Number::Double(number),
            })
        }),
        exemplars: exemplars(message.exemplars),
        ..blank(metric, shared)
    }
}

fn histogram_point(metric: &Arc<Metric>, message: metrics::HistogramDataPoint, shared: &Shared) -> DataPoint {
    DataPoint {
        attributes: read::attributes(message.attributes),
        start_ns: message.start_time_unix_nano,
        time_ns: message.time_unix_nano,
        flags: message.flags,
        value: PointValue::Histogram(Histogram {
            count: message.count,
            sum: message.sum,
            min: message.min,
            max: message.max,
            bounds: message.explicit_bounds,
            bucket_counts: message.bucket_counts,
        }),
        exemplars: exemplars(message.exemplars),
        ..blank(metric, shared)
    }
}

fn exponential_point(
    metric: &Arc<Metric>,
    message: metrics::ExponentialHistogramDataPoint,
    shared: &Shared,
) -> DataPoint {
    let buckets = |buckets: Option<exponential::Buckets>| {
        buckets.map_or_else(Buckets::default, |b| Buckets { offset: b.offset, counts: b.bucket_counts })
    };
    DataPoint {
        attributes: read::attributes(message.attributes),
        start_ns: message.start_time_unix_nano,
        time_ns: message.time_unix_nano,
        flags: message.flags,
        value: PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
            count: message.count,
            sum: message.sum,
            min: message.min,
            max: message.max,
            scale: message.scale,
            zero_count: message.zero_count,
            zero_threshold: message.zero_threshold,
            positive: buckets(message.positive),
            negative: buckets(message.negative),
        })),
        exemplars: exemplars(message.exemplars),
        ..blank(metric, shared)
    }
}

fn summary_point(metric: &Arc<Metric>, message: metrics::SummaryDataPoint, shared: &Shared) -> DataPoint {
    let quantiles = message.quantile_values.iter();
    DataPoint {
        attributes: read::attributes(message.attributes),
        start_ns: message.start_time_unix_nano,
        time_ns: message.time_unix_nano,
        flags: message.flags,
        value: PointValue::Summary(QuantileSummary {
            count: message.count,
            sum: message.sum,
            quantiles: quantiles.map(|at| Quantile { quantile: at.quantile, value: at.value }).collect(),
        }),
        ..blank(metric, shared)
    }
}

fn exemplars(messages: Vec<metrics::Exemplar>) -> Vec<Exemplar> {
    let exemplar = |message: metrics::Exemplar| Exemplar {
        time_ns: message.time_unix_nano,
        value: message.value.map(|value| match value {
            exemplar::Value::AsInt(number) => Number::Int(number),
            exemplar::Value::AsDouble(number) => Number::Double(number),
        }),
        trace_id: TraceId::from_slice(&message.trace_id).ok(),
        span_id: SpanId::from_slice(&message.span_id).ok(),
        attributes: read::attributes(message.filtered_attributes),
    };
    messages.into_iter().map(exemplar).collect()
}

fn exemplar_messages(exemplars: &[Exemplar]) -> Vec<metrics::Exemplar> {
    let message = |exemplar: &Exemplar| metrics::Exemplar {
        filtered_attributes: write::attributes(&exemplar.attributes),
        time_unix_nano: exemplar.time_ns,
        span_id: exemplar.span_id.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        trace_id: exemplar.trace_id.map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        value: exemplar.value.map(|value| match value {
            Number::Int(number) => exemplar::Value::AsInt(number),
            Number::Double(number) => exemplar::Value::AsDouble(number),
        }),
    };
    exemplars.iter().map(message).collect()
}

/// Encodes the point without its metric, as a message of the kind of the metric.
fn point_bytes(point: &DataPoint) -> Vec<u8> {
    let attributes = write::attributes(&point.attributes);
    let (start_time_unix_nano, time_unix_nano, flags) = (point.start_ns, point.time_ns, point.flags);
    let exemplars = exemplar_messages(&point.exemplars);
    match &point.value {
        PointValue::Histogram(histogram) => metrics::HistogramDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            count: histogram.count,
            sum: histogram.sum,
            bucket_counts: histogram.bucket_counts.clone(),
            explicit_bounds: histogram.bounds.clone(),
            exemplars,
            flags,
            min: histogram.min,
            max: histogram.max,
        }
        .encode_to_vec(),
        PointValue::ExponentialHistogram(histogram) => {
            let buckets = |buckets: &Buckets| {
                (*buckets != Buckets::default())
                    .then(|| exponential::Buckets { offset: buckets.offset, bucket_counts: buckets.counts.clone() })
            };
            metrics::ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: histogram.count,
                sum: histogram.sum,
                scale: histogram.scale,
                zero_count: histogram.zero_count,
                positive: buckets(&histogram.positive),
                negative: buckets(&histogram.negative),
                flags,
                exemplars,
                min: histogram.min,
                max: histogram.max,
                zero_threshold: histogram.zero_threshold,
            }
            .encode_to_vec()
        }
        PointValue::Summary(summary) => {
            let value =
                |at: &Quantile| metrics::summary_data_point::ValueAtQuantile { quantile: at.quantile, value: at.value };
            metrics::SummaryDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: summary.count,
                sum: summary.sum,
                quantile_values: summary.quantiles.iter().map(value).collect(),
                flags,
            }
            .encode_to_vec()
        }
        PointValue::Empty | PointValue::Number(_) => metrics::NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            exemplars,
            flags,
            value: match point.value {
                PointValue::Number(Number::Int(number)) => Some(number_data_point::Value::AsInt(number)),
                PointValue::Number(Number::Double(number)) => Some(number_data_point::Value::AsDouble(number)),
                _ => None,
            },
        }
        .encode_to_vec(),
    }
}
