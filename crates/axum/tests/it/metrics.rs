//! Tests of the metrics and their labels.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, Version},
    routing::{any, get},
};
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, HistogramDataPoint, Metric, MetricData};
use throughline_axum::{Route, TraceLayer};

use crate::harness::{Telemetry, Way, exchange, get as get_request, request, serve};

fn router(layer: TraceLayer) -> Router {
    Router::new()
        .route("/users/{id}", any(|| async { "four" }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .layer(layer)
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let labels: BTreeSet<_> = attributes.map(|kv| format!("{}={}", kv.key, kv.value)).collect();
    labels.into_iter().collect::<Vec<_>>().join(" ")
}

fn seconds<T>(metric: &Metric, look: impl FnOnce(Vec<&HistogramDataPoint<f64>>) -> T) -> T {
    match metric.data() {
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => look(histogram.data_points().collect()),
        data => panic!("{data:?}"),
    }
}

fn bytes(metric: &Metric) -> Vec<(String, u64, u64)> {
    assert_eq!(metric.unit(), "By");
    match metric.data() {
        AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
            histogram.data_points().map(|point| (labels(point.attributes()), point.count(), point.sum())).collect()
        }
        data => panic!("{data:?}"),
    }
}

#[tokio::test]
async fn durations_have_the_recommended_buckets_and_labels() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let address = serve(router(telemetry.layer())).await;
    for path in ["/users/7", "/users/8", "/broken", "/nowhere/1", "/nowhere/2"] {
        exchange(address, &get_request(path)).await;
        telemetry.span().await;
    }
    telemetry.metric("http.server.request.duration", |metric| {
        assert_eq!(metric.unit(), "s");
        seconds(metric, |points| {
            let recommended = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
            for point in &points {
                assert_eq!(point.bounds().collect::<Vec<_>>(), recommended);
            }
            let found: BTreeSet<_> = points.iter().map(|point| (labels(point.attributes()), point.count())).collect();
            let common = "http.request.method=GET";
            let end = "network.protocol.version=1.1 url.scheme=http";
            let expected = BTreeSet::from([
                (format!("{common} http.response.status_code=200 http.route=/users/{{id}} {end}"), 2),
                (format!("error.type=500 {common} http.response.status_code=500 http.route=/broken {end}"), 1),
                (format!("{common} http.response.status_code=404 {end}"), 2),
            ]);
            assert_eq!(found, expected);
        });
    });
}

#[tokio::test]
async fn body_sizes_are_measured() {
    let mut telemetry = Telemetry::new(Way::Tracing);
    let address = serve(router(telemetry.layer())).await;
    exchange(address, &(request("POST", "/users/7", "content-length: 5\r\n") + "hello")).await;
    telemetry.span().await;
    let [(_, count, sum)] = &telemetry.metric("http.server.request.body.size", bytes)[..] else { panic!() };
    assert_eq!((*count, *sum), (1, 5));
    let [(_, count, sum)] = &telemetry.metric("http.server.response.body.size", bytes)[..] else { panic!() };
    assert_eq!((*count, *sum), (1, 4));
}

/// Sends more label combinations than instruments are bound to, twice each, with and without a route, with errors and
/// bodies.
#[tokio::test]
async fn each_set_of_labels_is_measured_separately() {
    let telemetry = Telemetry::new(Way::Tracer);
    let handler = |request: Request<Body>| async move {
        let status = request.uri().query().and_then(|status| status.parse::<u16>().ok()).unwrap();
        StatusCode::from_u16(status).unwrap()
    };
    let app = Router::new().route("/routed", any(handler)).fallback(handler).layer(telemetry.layer());
    let mut expected = BTreeSet::new();
    let mut expected_bytes = BTreeSet::new();
    for round in 1..=2 {
        for (path, route) in [("/routed", " http.route=/routed"), ("/elsewhere", "")] {
            for (method, label) in [("GET", "GET"), ("POST", "POST"), ("BREW", "_OTHER"), ("STIR", "_OTHER")] {
                for (version, version_label) in [(Version::HTTP_11, "1.1"), (Version::HTTP_2, "2")] {
                    for status in [200, 201, 202, 204, 206, 400, 401, 403, 404, 409, 410, 429, 500, 503] {
                        let body = if method == "POST" { "seven b" } else { "" };
                        let request = Request::builder()
                            .method(method)
                            .uri(format!("{path}?{status}"))
                            .version(version)
                            .body(Body::from(body))
                            .unwrap();
                        let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
                        axum::body::to_bytes(response.into_body(), 100).await.unwrap();
                        let error = if status >= 500 { format!("error.type={status} ") } else { String::new() };
                        let labels = format!(
                            "{error}http.request.method={label} http.response.status_code={status}{route} \
                             network.protocol.version={version_label} url.scheme=http"
                        );
                        if method == "POST" && round == 2 {
                            expected_bytes.insert((labels.clone(), 2, 14));
                        }
                        if round == 2 {
                            expected.insert((labels, if label == "_OTHER" { 4 } else { 2 }));
                        }
                    }
                }
            }
        }
    }
    telemetry.metric("http.server.request.duration", |metric| {
        seconds(metric, |points| {
            let found: BTreeSet<_> = points.iter().map(|point| (labels(point.attributes()), point.count())).collect();
            assert_eq!(found, expected);
        });
    });
    let found: BTreeSet<_> = telemetry.metric("http.server.response.body.size", bytes).into_iter().collect();
    assert_eq!(found, expected.into_iter().map(|(labels, count)| (labels, count, 0)).collect());
    let found: BTreeSet<_> = telemetry.metric("http.server.request.body.size", bytes).into_iter().collect();
    assert_eq!(found, expected_bytes);
    assert_eq!(telemetry.active(), 0);
}

/// Both kinds of requests have status 200.
#[tokio::test]
async fn cancelled_requests_have_their_own_labels() {
    let telemetry = Telemetry::new(Way::Tracer);
    let handler = |request: Request<Body>| async move {
        match request.uri().query() {
            Some("endless") => Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>()),
            _ => Body::from("four"),
        }
    };
    let app = Router::new().route("/routed", any(handler)).fallback(handler).layer(telemetry.layer());
    for uri in ["/routed?endless", "/routed", "/routed?endless", "/elsewhere", "/elsewhere?endless", "/elsewhere"] {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
        if !uri.ends_with("endless") {
            axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        }
    }
    telemetry.metric("http.server.request.duration", |metric| {
        seconds(metric, |points| {
            let found: BTreeSet<_> = points.iter().map(|point| (labels(point.attributes()), point.count())).collect();
            let all = "http.request.method=GET http.response.status_code=200";
            let end = "network.protocol.version=1.1 url.scheme=http";
            let expected = BTreeSet::from([
                (format!("error.type=cancelled {all} http.route=/routed {end}"), 2),
                (format!("{all} http.route=/routed {end}"), 1),
                (format!("error.type=cancelled {all} {end}"), 1),
                (format!("{all} {end}"), 2),
            ]);
            assert_eq!(found, expected);
        });
    });
}

#[tokio::test]
async fn values_chosen_by_clients_are_not_labels() {
    let mut telemetry = Telemetry::new(Way::Tracer);
    let address = serve(router(telemetry.layer())).await;
    for number in 0..50 {
        let method = format!("BREW{number}");
        // The scheme in the absolute form of a request target is also chosen by the client.
        let path = format!("made{number}://host{number}.example/users/{number}?q={number}");
        let headers = format!("user-agent: {number}\r\nx-forwarded-proto: p{number}\r\n");
        exchange(address, &request(&method, &path, &headers)).await;
        telemetry.span().await;
    }
    telemetry.metric("http.server.request.duration", |metric| {
        seconds(metric, |points| {
            let [point] = &points[..] else { panic!("{} sets of labels", points.len()) };
            assert!(labels(point.attributes()).contains("http.request.method=_OTHER"));
            assert_eq!(point.count(), 50);
        });
    });
    assert_eq!(telemetry.active(), 0);
}

#[tokio::test]
async fn the_number_of_route_labels_is_bounded() {
    let telemetry = Telemetry::new(Way::Tracer);
    // Returns a separate template for each requested path.
    let unbounded =
        |_: Option<&str>, request: &http::request::Parts| Route::Template(request.uri.path().to_owned().into());
    let layer = telemetry.layer().route(unbounded);
    let app = Router::new().fallback(|| async {}).layer(layer);
    for number in 0..1_100 {
        let request = Request::get(format!("/{number}")).body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
    }
    telemetry.metric("http.server.request.duration", |metric| {
        seconds(metric, |points| {
            let counted: u64 = points.iter().map(|point| point.count()).sum();
            assert_eq!((points.len(), counted), (1_001, 1_100));
        });
    });
}
