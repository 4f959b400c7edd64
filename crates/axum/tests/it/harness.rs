//! A server with the layer, and the telemetry that it records.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use opentelemetry::{Context, KeyValue, Value, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
        data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics, ScopeMetrics, SumDataPoint},
    },
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use throughline_axum::{ServerStatus, TraceLayer};
use throughline_propagator::Propagator;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tracing::{Level, subscriber::DefaultGuard};
use tracing_subscriber::{Layer as _, Registry, filter, layer::SubscriberExt};

/// Ends a test that waits for something that never happens.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How the server's spans are created.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Tracer,
    Tracing,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Tracer, Self::Tracing];
}

/// The SDK of one test. The test's runtime has one thread, so the subscriber is set for that thread only.
pub(crate) struct Telemetry {
    pub(crate) provider: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
    metrics: InMemoryMetricExporter,
    ended: mpsc::UnboundedReceiver<SpanData>,
    way: Way,
    _subscriber: DefaultGuard,
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

impl Telemetry {
    pub(crate) fn new(way: Way) -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        let provider = SdkTracerProvider::builder().with_span_processor(ServerStatus::new(Ended(sender))).build();
        let metrics = InMemoryMetricExporter::default();
        let meters = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(metrics.clone()).build()).build();
        // Excludes the spans of the client and server libraries.
        let ours = filter::Targets::new().with_target("it", Level::INFO).with_target("throughline", Level::INFO);
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("handlers")).with_filter(ours);
        let subscriber = tracing::subscriber::set_default(Registry::default().with(spans));
        Self { provider, meters, metrics, ended, way, _subscriber: subscriber }
    }

    pub(crate) fn layer(&self) -> TraceLayer {
        let layer = TraceLayer::new("instance-1").propagator(Propagator::new()).meter(&self.meters.meter("test"));
        match self.way {
            Way::Tracer => layer.tracer(self.provider.tracer("server")),
            Way::Tracing => layer,
        }
    }

    /// Waits for the next span that ends.
    pub(crate) async fn span(&mut self) -> SpanData {
        tokio::time::timeout(TIMEOUT, self.ended.recv()).await.expect("no span ends").unwrap()
    }

    /// Returns whether no further span has ended.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.ended.try_recv().is_err()
    }

    /// Reads the current state of a metric.
    pub(crate) fn metric<T>(&self, name: &str, look: impl FnOnce(&Metric) -> T) -> T {
        self.metrics.reset();
        self.meters.force_flush().unwrap();
        let finished = self.metrics.get_finished_metrics().unwrap();
        let mut metrics = finished.iter().flat_map(ResourceMetrics::scope_metrics).flat_map(ScopeMetrics::metrics);
        look(metrics.find(|metric| metric.name() == name).unwrap_or_else(|| panic!("no metric {name}")))
    }

    /// Returns the sum of `http.server.active_requests` over all labels.
    pub(crate) fn active(&self) -> i64 {
        self.metric("http.server.active_requests", |metric| match metric.data() {
            AggregatedMetrics::I64(MetricData::Sum(sum)) => sum.data_points().map(SumDataPoint::value).sum(),
            data => panic!("{data:?}"),
        })
    }
}

/// Serves `router` on a loopback socket with connection info.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Sends `request` unchanged and reads until the server closes the connection.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = send(address, request).await;
    let mut response = Vec::new();
    tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut response)).await.expect("no response").unwrap();
    String::from_utf8(response).unwrap()
}

/// Sends `request` unchanged.
pub(crate) async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads until the received text ends with `end`.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(end.as_bytes()) {
            read.push(stream.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(TIMEOUT, reading).await.expect("the server sent nothing more");
    String::from_utf8(read).unwrap()
}

/// Returns a request without a body, after which the server closes the connection.
pub(crate) fn get(path: &str) -> String {
    request("GET", path, "")
}

/// Returns a request with further header lines, each ended by `\r\n`.
pub(crate) fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: app.example:8080\r\nconnection: close\r\n{headers}\r\n")
}

pub(crate) fn value<'s>(span: &'s SpanData, key: &str) -> Option<&'s Value> {
    let mut found = span.attributes.iter().filter(|attribute: &&KeyValue| attribute.key.as_str() == key);
    let value = found.next().map(|attribute| &attribute.value);
    assert!(found.next().is_none(), "duplicate {key}");
    value
}

pub(crate) fn text(span: &SpanData, key: &str) -> String {
    value(span, key).unwrap_or_else(|| panic!("no {key} in {:?}", span.attributes)).to_string()
}
