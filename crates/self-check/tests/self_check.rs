//! Tests of each reason why spans do not arrive, with a real subscriber, the real SDK, and endpoints that refuse.
#![expect(clippy::unwrap_used, reason = "a panic is a test failure")]

use std::net::{SocketAddr, TcpListener};

use axum::{Router, http::StatusCode, routing::post};
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, Sampler, SdkTracerProvider},
};
use throughline_self_check::{Outcome, Report, SELF_CHECK_SPAN, self_check};
use tracing::{level_filters::LevelFilter, subscriber::with_default};
use tracing_subscriber::{Layer as _, Registry, filter::Targets, layer::SubscriberExt as _};

fn never() -> Result<(), String> {
    panic!("flush must not be called")
}

/// Returns the failed checks and the description of the first one.
fn wrong(report: &Report) -> (Vec<&'static str>, String) {
    let wrong: Vec<_> = report.findings.iter().filter(|finding| finding.outcome == Outcome::Bad).collect();
    assert!(wrong.iter().all(|finding| !finding.help.is_empty()));
    (wrong.iter().map(|finding| finding.check).collect(), wrong.first().map(|one| one.what.clone()).unwrap_or_default())
}

#[test]
fn without_a_subscriber_nothing_is_recorded() {
    let report = with_default(tracing::subscriber::NoSubscriber::default(), || self_check(never));
    let (checks, words) = wrong(&report);
    assert_eq!(checks, ["subscriber"]);
    assert!(words.contains("no `tracing` subscriber"), "{words}");
}

#[test]
fn a_filter_that_hides_spans_is_reported() {
    let provider = SdkTracerProvider::default();
    let layer = || tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let of_all = Registry::default().with(layer()).with(LevelFilter::WARN);
    let report = with_default(of_all, || self_check(never));
    assert_eq!(wrong(&report).0, ["level filter"], "{report}");

    let of_the_layer =
        Registry::default().with(layer().with_filter(Targets::new().with_target("shop", LevelFilter::INFO)));
    // Another layer enables the span, so that it is not disabled.
    let of_the_layer = of_the_layer.with(tracing_subscriber::fmt::layer().with_writer(std::io::sink));
    let report = with_default(of_the_layer, || self_check(never));
    let (checks, words) = wrong(&report);
    assert_eq!(checks, ["OpenTelemetry layer"], "{report}");
    assert!(words.contains("its own filter"), "{words}");
}

#[test]
fn a_subscriber_without_the_layer_is_reported() {
    let subscriber = Registry::default().with(tracing_subscriber::fmt::layer().with_writer(std::io::sink));
    let report = with_default(subscriber, || self_check(never));
    let (checks, words) = wrong(&report);
    assert_eq!(checks, ["OpenTelemetry layer"]);
    assert!(words.contains("the subscriber has none"), "{words}");
}

#[test]
fn a_sampler_that_drops_all_spans_is_reported() {
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let report = with_default(
        Registry::default().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test"))),
        || self_check(never),
    );
    assert!(report.to_string().contains("sampler: it drops the span"), "{report}");
}

/// Runs the check with a real exporter to `address`.
fn through(address: SocketAddr) -> Report {
    // An error means that another test has installed a provider, which can be used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("http://{address}/v1/traces"))
        .with_timeout(std::time::Duration::from_secs(2))
        .build()
        .unwrap();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    with_default(Registry::default().with(layer), || self_check(|| provider.force_flush()))
}

/// Starts an endpoint that responds to every request with this status.
fn endpoint(status: StatusCode) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = Router::new().route("/v1/traces", post(move || async move { status }));
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    address
}

#[test]
fn the_status_of_the_endpoint_is_explained() {
    for (status, words) in [
        (StatusCode::UNAUTHORIZED, "the endpoint rejects the key (401)"),
        (StatusCode::FORBIDDEN, "the endpoint rejects the key (403)"),
        (StatusCode::NOT_FOUND, "no OTLP receiver at this path"),
        (StatusCode::BAD_REQUEST, "the endpoint rejects the span (400)"),
    ] {
        let report = through(endpoint(status));
        let (checks, description) = wrong(&report);
        assert_eq!(checks, ["exporter"], "{report}");
        assert!(description.contains(words), "{status}: {description}");
        assert!(report.trace_id.is_some());
    }
}

#[test]
fn an_unreachable_endpoint_is_reported() {
    // The port was bound and closed again, so nothing listens on it.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = through(address);
    let (checks, words) = wrong(&report);
    assert_eq!(checks, ["exporter"], "{report}");
    assert!(words.contains("cannot be reached"), "{words}");
}

#[test]
fn without_problems_one_span_is_exported() {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let report = with_default(Registry::default().with(layer), || self_check(|| provider.force_flush()));
    assert_eq!(report.outcome(), Outcome::Good, "{}", report.table());
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, SELF_CHECK_SPAN);
    assert_eq!(Some(spans[0].span_context.trace_id().to_string()), report.trace_id);
    assert!(report.to_string().starts_with("self-check: ok"), "{report}");
}
