//! Tests that data points are delivered like spans, with their own cursor.

use std::{sync::Arc, time::Duration};

use throughline_forward::{ForwardConfig, Forwarder, SinkState, metrics_endpoint, spawn};
use throughline_otlp::{DataPoint, KeyValue, Metric, Number, PointValue, Resource, Signal};
use throughline_store::Metrics;
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, KEY, TIMEOUT, config, sink, until_status};

fn point(number: u64) -> DataPoint {
    let metric = Metric { name: "queue.length".to_owned(), unit: "1".to_owned(), ..Metric::default() };
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "web")], ..Resource::default() };
    let mut point = DataPoint::new(Arc::new(metric), Arc::new(resource), Arc::default());
    point.time_ns = 1_000_000 + number;
    point.value = PointValue::Number(Number::Int(i64::try_from(number).unwrap()));
    point
}

fn deliver(bench: &Bench, metrics: &Metrics, upstream: &FakeHoneycomb, config: ForwardConfig) -> Forwarder {
    let mut sink = sink(upstream.addr());
    sink.metrics_endpoint = Some(metrics_endpoint(&upstream.endpoint()).unwrap());
    let sources = bench.sources().with_metrics(metrics.clone());
    spawn(sources, sink, config).unwrap()
}

async fn append(metrics: &Metrics, numbers: std::ops::Range<u64>) {
    metrics.append(numbers.map(point).collect()).await.unwrap();
}

#[tokio::test]
async fn data_points_arrive_once_and_in_order() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let metrics = bench.metrics();
    append(&metrics, 0..600).await;
    let forwarder = deliver(&bench, &metrics, &upstream, config());
    upstream.wait_for_data_points(600, TIMEOUT).await.unwrap();
    // A new point wakes the sink.
    append(&metrics, 600..601).await;
    upstream.wait_for_data_points(601, TIMEOUT).await.unwrap();
    let status = forwarder.status(Signal::Metrics).unwrap();
    let status = until_status(status, |status| status.state == SinkState::Idle && status.delivered == 601).await;
    assert_eq!((status.waiting, status.rejected, status.cursor.as_str()), (0, 0, "honeycomb/metrics"));
    assert_eq!(upstream.data_points(), (0..601).map(point).collect::<Vec<_>>());
}

#[tokio::test]
async fn data_points_are_retried_after_a_failure() {
    for behaviour in [Behaviour::Status(503, None), Behaviour::Garbage, Behaviour::Status(404, None)] {
        let upstream = FakeHoneycomb::start(KEY).await.unwrap();
        upstream.set_metrics_response(behaviour.clone());
        let bench = Bench::new();
        let metrics = bench.metrics();
        append(&metrics, 0..20).await;
        bench.append(0..5).await;
        let forwarder = deliver(&bench, &metrics, &upstream, config());
        let expected = if behaviour == Behaviour::Status(404, None) { SinkState::Absent } else { SinkState::Backoff };
        let status = forwarder.status(Signal::Metrics).unwrap();
        let seen = until_status(status.clone(), |status| status.state == expected).await;
        assert_eq!((seen.delivered, seen.waiting, seen.oldest_ns), (0, 20, Some(1_000_000)), "{behaviour:?}");
        upstream.wait_for(5, TIMEOUT).await.unwrap();
        upstream.set_metrics_response(Behaviour::Ok);
        until_status(status, |status| status.state == SinkState::Idle && status.delivered == 20).await;
    }
}

#[tokio::test]
async fn a_restart_resumes_at_the_cursor_of_data_points() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let metrics = bench.metrics();
    let config = config().with_linger(Duration::from_secs(3600));
    for (from, to) in [(0, 30), (30, 60)] {
        let forwarder = deliver(&bench, &metrics, &upstream, config);
        append(&metrics, from..to).await;
        forwarder.shutdown().await;
    }
    assert_eq!(upstream.data_points(), (0..60).map(point).collect::<Vec<_>>());
    assert!(upstream.requests().iter().all(|request| request.signal == Signal::Metrics));
}
