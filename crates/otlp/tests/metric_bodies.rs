//! Tests of bodies of metrics, in both encodings and compared with `opentelemetry-proto`.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
        HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        exemplar, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use throughline_otlp::{
    DataPoint, Encoding, MetricKind, Number, PointValue, Temporality, decode, decode_record, encode, encode_record,
};

const BOTH: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

fn attributes(value: &str) -> Vec<KeyValue> {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    vec![KeyValue { key: "route".to_owned(), value, key_strindex: 0 }]
}

fn number(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes("/a"),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: vec![Exemplar {
            filtered_attributes: attributes("exemplar"),
            time_unix_nano: 2,
            span_id: vec![1; 8],
            trace_id: vec![2; 16],
            value: Some(exemplar::Value::AsDouble(0.5)),
        }],
        flags: 0,
        value: Some(value),
    }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: "a description".to_owned(),
        unit: "ms".to_owned(),
        metadata: attributes("metadata"),
        data: Some(data),
    }
}

/// Returns a metric of each kind, with all fields set.
fn every_kind() -> ExportMetricsServiceRequest {
    let delta = AggregationTemporality::Delta.into();
    let cumulative = AggregationTemporality::Cumulative.into();
    let metrics = vec![
        metric("gauge", Data::Gauge(Gauge { data_points: vec![number(number_data_point::Value::AsDouble(1.5))] })),
        metric(
            "sum",
            Data::Sum(Sum {
                data_points: vec![
                    number(number_data_point::Value::AsInt(-7)),
                    number(number_data_point::Value::AsInt(8)),
                ],
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
        ),
        metric(
            "histogram",
            Data::Histogram(Histogram {
                data_points: vec![HistogramDataPoint {
                    attributes: attributes("/b"),
                    start_time_unix_nano: 1,
                    time_unix_nano: 2,
                    count: 3,
                    sum: Some(4.5),
                    bucket_counts: vec![1, 2, 0],
                    explicit_bounds: vec![1.0, f64::INFINITY],
                    exemplars: Vec::new(),
                    flags: 0,
                    min: Some(0.5),
                    max: Some(3.0),
                }],
                aggregation_temporality: delta,
            }),
        ),
        metric(
            "exponential",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![ExponentialHistogramDataPoint {
                    attributes: Vec::new(),
                    start_time_unix_nano: 1,
                    time_unix_nano: 2,
                    count: 6,
                    sum: None,
                    scale: -3,
                    zero_count: 1,
                    positive: Some(Buckets { offset: -2, bucket_counts: vec![1, 1] }),
                    negative: Some(Buckets { offset: 4, bucket_counts: vec![3] }),
                    flags: 0,
                    exemplars: Vec::new(),
                    min: None,
                    max: None,
                    zero_threshold: 0.25,
                }],
                aggregation_temporality: delta,
            }),
        ),
        metric(
            "summary",
            Data::Summary(Summary {
                data_points: vec![SummaryDataPoint {
                    attributes: attributes("/c"),
                    start_time_unix_nano: 1,
                    time_unix_nano: 2,
                    count: 3,
                    sum: 9.0,
                    quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 4.0 }],
                    flags: 0,
                }],
            }),
        ),
    ];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: attributes("resource"), ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope { name: "meter".to_owned(), ..InstrumentationScope::default() }),
                metrics,
                schema_url: "schema".to_owned(),
            }],
            schema_url: String::new(),
        }],
    }
}

fn points(body: &[u8], encoding: Encoding) -> Vec<DataPoint> {
    let decoded = decode::<DataPoint>(body, encoding).unwrap();
    assert!(decoded.rejections.is_empty(), "{:?}", decoded.rejections);
    decoded.records
}

#[test]
fn every_kind_is_decoded_completely() {
    let points = points(&every_kind().encode_to_vec(), Encoding::Protobuf);
    let kinds: Vec<_> = points.iter().map(|point| point.metric.kind).collect();
    use MetricKind::*;
    assert_eq!(kinds, [Gauge, Sum, Sum, Histogram, ExponentialHistogram, Summary]);
    assert_eq!(points[1].value, PointValue::Number(Number::Int(-7)));
    assert!(points[1].metric.is_monotonic && points[1].metric.temporality == Temporality::Cumulative);
    assert!(std::sync::Arc::ptr_eq(&points[1].metric, &points[2].metric));
    assert!(points[0].exemplars[0].span_id.is_some());
}

/// The encoding is the same as that of `opentelemetry-proto`, except that each point has its own metric message.
#[test]
fn opentelemetry_proto_decodes_encoded_metrics() {
    let sent = every_kind();
    let points = points(&sent.encode_to_vec(), Encoding::Protobuf);
    let written = ExportMetricsServiceRequest::decode(encode(&points, Encoding::Protobuf).as_slice()).unwrap();
    let mut expected = sent;
    let metrics = &mut expected.resource_metrics[0].scope_metrics[0].metrics;
    let mut twice = metrics[1].clone();
    if let (Some(Data::Sum(first)), Some(Data::Sum(second))) = (&mut metrics[1].data, &mut twice.data) {
        first.data_points.truncate(1);
        second.data_points.remove(0);
    }
    metrics.insert(2, twice);
    assert_eq!(written, expected);
}

#[test]
fn the_json_of_opentelemetry_proto_is_decoded() {
    let sent = every_kind();
    let body = serde_json::to_vec(&sent).unwrap();
    // `opentelemetry-proto` cannot encode the infinite bound.
    let body = String::from_utf8(body).unwrap().replace("[1.0,null]", r#"[1.0,"Infinity"]"#);
    let from_json = points(body.as_bytes(), Encoding::Json);
    assert_eq!(from_json, points(&sent.encode_to_vec(), Encoding::Protobuf));
}

#[test]
fn both_encodings_and_single_records_round_trip() {
    let points_sent = points(&every_kind().encode_to_vec(), Encoding::Protobuf);
    for encoding in BOTH {
        assert_eq!(points(&encode(&points_sent, encoding), encoding), points_sent);
    }
    for point in &points_sent {
        assert_eq!(decode_record::<DataPoint>(&encode_record(point), &point.resource, &point.scope).unwrap(), *point);
    }
}

#[test]
fn json_may_have_names_numbers_and_null() {
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","sum":{"dataPoints":[{"asInt":5,"timeUnixNano":7,"exemplars":null}],
            "aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","isMonotonic":null}},
        {"name":"b","gauge":{"dataPoints":[{"asDouble":"NaN","unknown":{}}]}},
        {"name":"c"}, {"name":"d","gauge":{}}
    ]}]}]}"#;
    let points = points(body.as_bytes(), Encoding::Json);
    assert_eq!(points.len(), 2);
    assert_eq!((points[0].metric.temporality, points[0].time_ns), (Temporality::Delta, 7));
    assert!(matches!(points[1].value, PointValue::Number(Number::Double(number)) if number.is_nan()));
}

#[test]
fn only_invalid_points_are_rejected() {
    let histogram = |bounds: &str, counts: &str| {
        format!(
            r#"{{"name":"h","histogram":{{"dataPoints":[{{"explicitBounds":{bounds},"bucketCounts":{counts}}}]}}}}"#
        )
    };
    let metrics = [
        r#"{"name":"empty","gauge":{"dataPoints":[{}]}}"#.to_owned(),
        r#"{"gauge":{"dataPoints":[{"asInt":1}]}}"#.to_owned(),
        histogram("[1]", "[1]"),
        histogram("[2,1]", "[1,1,1]"),
        histogram(r#"["NaN"]"#, "[1,1]"),
        r#"{"name":"ended","gauge":{"dataPoints":[{"flags":1}]}}"#.to_owned(),
        histogram("[]", "[]"),
        histogram("[]", "[3]"),
    ];
    let body = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{}]}}]}}]}}"#, metrics.join(","));
    let decoded = decode::<DataPoint>(body.as_bytes(), Encoding::Json).unwrap();
    assert_eq!((decoded.records.len(), decoded.rejections.len()), (3, 5));
    assert_eq!(decoded.rejections[0].to_string(), r#"data point "empty": it has no value"#);
}

#[test]
fn a_body_of_too_many_points_is_an_error() {
    let point = r#"{"asInt":1},"#.repeat(throughline_otlp::MAX_RECORDS);
    let body = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"a","gauge":{{"dataPoints":[{point}{{}}]}}}}]}}]}}]}}"#
    );
    assert!(decode::<DataPoint>(body.as_bytes(), Encoding::Json).is_err());
}
