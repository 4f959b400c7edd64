//! The global providers, which pass their spans and metrics to the test.

use std::time::Duration;

use opentelemetry::{Context, global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
        data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics, ScopeMetrics, SumDataPoint},
    },
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use tokio::sync::mpsc;
use tracing::Level;
use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// The timeout for a span, so that a failing test ends.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Probe {
    pub(crate) provider: SdkTracerProvider,
    meters: SdkMeterProvider,
    metrics: InMemoryMetricExporter,
    ended: mpsc::UnboundedReceiver<SpanData>,
}

#[derive(Debug)]
struct Ended(mpsc::UnboundedSender<SpanData>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let _ = self.0.send(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Probe {
    pub(crate) fn new() -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        let provider = SdkTracerProvider::builder().with_span_processor(Ended(sender)).build();
        let metrics = InMemoryMetricExporter::default();
        let meters = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(metrics.clone()).build()).build();
        global::set_tracer_provider(provider.clone());
        global::set_meter_provider(meters.clone());
        global::set_text_map_propagator(TraceContextPropagator::new());
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("tracing"));
        let filter = Targets::new().with_default(Level::INFO);
        tracing_subscriber::registry().with(spans.with_filter(filter)).init();
        Self { provider, meters, metrics, ended }
    }

    /// Waits for the next span that ends.
    pub(crate) async fn span(&mut self) -> SpanData {
        tokio::time::timeout(TIMEOUT, self.ended.recv()).await.expect("a span should end before the timeout").unwrap()
    }

    /// Returns the next span that has ended already, if any.
    pub(crate) fn try_span(&mut self) -> Option<SpanData> {
        self.ended.try_recv().ok()
    }

    /// Calls `visit` with every metric of one layer, identified by the name of its scope.
    pub(crate) fn metrics(&self, scope: &str, mut visit: impl FnMut(&Metric)) {
        self.metrics.reset();
        self.meters.force_flush().unwrap();
        for resource in &self.metrics.get_finished_metrics().unwrap() {
            let scopes = ResourceMetrics::scope_metrics(resource).filter(|metrics| metrics.scope().name() == scope);
            scopes.flat_map(ScopeMetrics::metrics).for_each(&mut visit);
        }
    }
}

/// Returns the labels of a histogram of seconds as strings.
pub(crate) fn labels(metric: &Metric) -> Vec<String> {
    match metric.data() {
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => histogram
            .data_points()
            .map(|point| point.attributes().map(|label| format!("{}={} ", label.key, label.value)).collect())
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the sum over all labels.
pub(crate) fn sum(metric: &Metric) -> i64 {
    match metric.data() {
        AggregatedMetrics::I64(MetricData::Sum(sum)) => sum.data_points().map(SumDataPoint::value).sum(),
        data => panic!("{data:?}"),
    }
}

pub(crate) fn text(span: &SpanData, key: &str) -> Option<String> {
    // If an attribute is recorded twice, the last one counts.
    let mut found = span.attributes.iter().rev().filter(|attribute| attribute.key.as_str() == key);
    found.next().map(|attribute| attribute.value.to_string())
}

pub(crate) fn has(span: &SpanData, key: &str) -> bool {
    text(span, key).is_some()
}

/// Returns whether the status has a description.
pub(crate) fn is_described(span: &SpanData) -> bool {
    matches!(&span.status, opentelemetry::trace::Status::Error { description } if !description.is_empty())
}
