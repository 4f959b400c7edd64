//! Metrics at the OTLP receivers.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use throughline_intake::grpc_router;
use throughline_otlp::{DataPoint, Encoding, KeyValue, Metric, MetricKind, Number, PointValue, Resource, encode};
use throughline_store::{MAX_POINT_BYTES, Metrics};
use tower::ServiceExt as _;

use crate::{BOTH, Bench, INGEST_TOKEN_HEADER, bench, bench_with, gzip, send, with, zstd};

fn point(route: &str, value: f64) -> DataPoint {
    let metric = Metric { name: "load".to_owned(), unit: "1".to_owned(), kind: MetricKind::Gauge, ..Metric::default() };
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "bank")], ..Resource::default() };
    DataPoint {
        attributes: vec![KeyValue::new("route", route)],
        time_ns: 5,
        value: PointValue::Number(Number::Double(value)),
        ..DataPoint::new(Arc::new(metric), Arc::new(resource), Arc::default())
    }
}

fn with_metrics() -> (tempfile::TempDir, Metrics, Bench) {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::open(dir.path()).unwrap();
    let bench = bench_with(|config| config.metrics = Some(metrics.clone()));
    (dir, metrics, bench)
}

fn post(encoding: Encoding, body: impl Into<Body>) -> Request<Body> {
    Request::post("/v1/metrics").header("content-type", encoding.content_type()).body(body.into()).unwrap()
}

#[tokio::test]
async fn both_encodings_are_accepted_plain_and_compressed() {
    let (_dir, metrics, bench) = with_metrics();
    let mut sent = Vec::new();
    for (encoding, name) in BOTH.into_iter().flat_map(|encoding| ["identity", "gzip", "zstd"].map(|by| (encoding, by)))
    {
        let point = point(&format!("{name} {encoding:?}"), 0.5);
        let body = encode(std::slice::from_ref(&point), encoding);
        let body = match name {
            "gzip" => gzip(&body),
            "zstd" => zstd(&body),
            _ => body,
        };
        let (status, headers, _) = send(bench.trusted(), with(post(encoding, body), "content-encoding", name)).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, encoding.content_type()));
        sent.push(point);
    }
    let stored: Vec<_> = metrics.metrics_after(0, 100).await.unwrap().into_iter().map(|(_, point)| point).collect();
    assert_eq!(stored, sent);
    assert_eq!(metrics.counts().await.unwrap().series, 6);
    assert_eq!(bench.intake.stats().data_points.accepted, 6);
    for encoding in BOTH {
        assert_eq!(send(bench.trusted(), post(encoding, Body::empty())).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn grpc_metrics_are_stored() {
    let (_dir, metrics, bench) = with_metrics();
    let message = encode(&[point("/", 1.0)], Encoding::Protobuf);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let request = Request::post("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
        .header("content-type", "application/grpc")
        .body(Body::from([&[0][..], &length, &message].concat()))
        .unwrap();
    let response = grpc_router(bench.intake.clone()).oneshot(request).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"), "{response:?}");
    assert_eq!(metrics.counts().await.unwrap().received, 1);
}

#[tokio::test]
async fn only_invalid_points_are_rejected() {
    let (_dir, metrics, bench) = with_metrics();
    let mut empty = point("/empty", 0.0);
    empty.value = PointValue::Empty;
    let large = point(&"x".repeat(MAX_POINT_BYTES), 0.0);
    let body = encode(&[point("/", 1.0), empty, large], Encoding::Json);
    let (status, _, body) = send(bench.trusted(), post(Encoding::Json, body)).await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"]["rejectedDataPoints"], "2");
    let message = body["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(message.contains("no value") && message.contains("more than 65536 bytes"), "{message}");
    assert_eq!(metrics.counts().await.unwrap().received, 1);
    assert_eq!(bench.intake.stats().data_points.rejected.invalid, 2);
}

/// Series from browsers could displace those of programs.
#[tokio::test]
async fn the_page_receiver_has_no_metrics_route() {
    let (_dir, _metrics, bench) = with_metrics();
    let request = with(post(Encoding::Json, "{}"), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), request).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_a_metrics_store_there_is_no_metrics_route() {
    assert_eq!(send(bench().trusted(), post(Encoding::Json, "{}")).await.0, StatusCode::NOT_FOUND);
}
