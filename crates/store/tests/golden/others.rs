//! The log records, decisions, quarantined entries and data points in the golden files.

use std::sync::Arc;

use throughline_context::TraceId;
use throughline_otlp::{
    Buckets, DataPoint, Exemplar, ExponentialHistogram, Histogram, KeyValue, LogRecord, Metric, MetricKind, Number,
    PointValue, Quantile, QuantileSummary, Severity, Signal, Temporality, Value,
};
use throughline_store::{Quarantined, SinkCursor, SinkName};

use crate::spans::{resource, scope, span_id, trace_id};

/// The sink's cursors for spans and log records, and the number of lost records.
pub(crate) const PLACES: [(Signal, u64, u64); 2] = [(Signal::Traces, 3, 0), (Signal::Logs, 1, 2)];
/// The sink's cursor for data points.
pub(crate) const METRIC_PLACE: u64 = 2;
/// The time of the decisions, in seconds since the Unix epoch.
pub(crate) const DECIDED_S: u64 = 1_700_000_100;

/// Returns the sink's cursor for a signal.
pub(crate) fn cursor(signal: Signal) -> SinkCursor {
    SinkName::new("collector").expect("the name is valid").cursor(signal)
}

/// Returns a log record with all fields, and one without a trace.
pub(crate) fn log_records() -> Vec<LogRecord> {
    let mut full = LogRecord::new(resource("api"), scope());
    full.time_ns = 1_700_000_000_100_000_003;
    full.observed_time_ns = 1_700_000_000_100_000_009;
    full.severity = Severity::ERROR;
    full.severity_text = "ERROR".to_owned();
    full.body = Value::Map(vec![KeyValue::new("message", "no money")]);
    full.attributes = vec![KeyValue::new("exception.type", "Broke")];
    full.dropped_attributes_count = 1;
    full.flags = 1;
    (full.trace_id, full.span_id) = (Some(trace_id(1)), Some(span_id(2)));
    full.event_name = "exception".to_owned();
    let mut bare = LogRecord::new(resource("web"), scope());
    bare.time_ns = 1_700_000_000_200_000_000;
    bare.body = Value::from("started");
    vec![full, bare]
}

/// Returns the decisions: the number of traces that each trace represents, 0 if it is not forwarded.
pub(crate) fn decisions() -> Vec<(TraceId, u64)> {
    vec![(trace_id(1), 1), (trace_id(2), 0), (trace_id(3), 20)]
}

/// Returns the quarantined entries, the latest position first.
pub(crate) fn quarantined() -> Vec<Quarantined> {
    vec![
        Quarantined::new(4, 1_700_000_000_500_000_000, "400 Bad Request").with_ids(Some(trace_id(1)), Some(span_id(2))),
        Quarantined::new(2, 1_700_000_000_400_000_000, "2 spans were rejected").with_count(2),
    ]
}

/// Returns a data point of each kind.
pub(crate) fn points() -> Vec<DataPoint> {
    let point = |kind, number: u64, value| {
        let metric = Metric {
            name: format!("metric.{number}"),
            description: "What it measures".to_owned(),
            unit: "ms".to_owned(),
            metadata: vec![KeyValue::new("made", "by hand")],
            kind,
            // A gauge and a summary have none.
            temporality: match kind {
                MetricKind::Gauge | MetricKind::Summary => Temporality::Unspecified,
                _ => Temporality::Cumulative,
            },
            is_monotonic: kind == MetricKind::Sum,
        };
        let mut point = DataPoint::new(Arc::new(metric), resource("api"), scope());
        point.attributes = vec![KeyValue::new("http.route", "/vault")];
        (point.start_ns, point.time_ns) = (1_700_000_000_000_000_000, 1_700_000_000_000_000_000 + number);
        point.value = value;
        point
    };
    let (sum, min, max) = (Some(12.5), Some(0.5), Some(8.0));
    let histogram = Histogram { count: 3, sum, min, max, bounds: vec![1.0, 5.0], bucket_counts: vec![1, 1, 1] };
    let exponential = ExponentialHistogram {
        count: 4,
        sum,
        min,
        max,
        scale: 2,
        zero_count: 1,
        zero_threshold: 0.25,
        positive: Buckets { offset: -1, counts: vec![1, 0, 1] },
        negative: Buckets { offset: 3, counts: vec![1] },
    };
    let quantiles = vec![Quantile { quantile: 0.5, value: 2.0 }, Quantile { quantile: 0.99, value: 8.0 }];
    let mut with_exemplar = point(MetricKind::Histogram, 3, PointValue::Histogram(histogram));
    with_exemplar.exemplars = vec![Exemplar {
        time_ns: 1_700_000_000_000_000_002,
        value: Some(Number::Double(8.0)),
        trace_id: Some(trace_id(1)),
        span_id: Some(span_id(2)),
        attributes: vec![KeyValue::new("note", "slow")],
    }];
    vec![
        point(MetricKind::Gauge, 1, PointValue::Number(Number::Int(-3))),
        point(MetricKind::Sum, 2, PointValue::Number(Number::Double(0.5))),
        with_exemplar,
        point(MetricKind::ExponentialHistogram, 4, PointValue::ExponentialHistogram(Box::new(exponential))),
        point(MetricKind::Summary, 5, PointValue::Summary(QuantileSummary { count: 3, sum: 12.5, quantiles })),
    ]
}
