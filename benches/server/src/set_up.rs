//! What all layers share: exporter, metrics, propagator, subscriber, and the application that they are around.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use axum::{Json, Router, extract::Path, routing::get};
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use throughline_bench_server::{
    export::{Discard, Encoder},
    subject::{Extent, Subject},
};
use tracing::Level;
use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::feed::Feed;

/// So that the queue never overflows: a span that is dropped would be cheap.
const QUEUE_SPANS: usize = 262_144;

/// What is global in this process.
pub(crate) struct SetUp {
    pub(crate) provider: SdkTracerProvider,
    spans: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    feed: Feed,
}

impl SetUp {
    pub(crate) fn new() -> Result<Self> {
        let encoder = Encoder::default();
        let (spans, bytes) = (Arc::clone(&encoder.spans), Arc::clone(&encoder.bytes));
        let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE_SPANS).build();
        let processor = BatchSpanProcessor::builder(encoder).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        global::set_tracer_provider(provider.clone());
        let reader = PeriodicReader::builder(Discard).build();
        global::set_meter_provider(SdkMeterProvider::builder().with_reader(reader).build());
        global::set_text_map_propagator(TraceContextPropagator::new());
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tracing"));
        tracing_subscriber::registry().with(layer.with_filter(Targets::new().with_default(Level::INFO))).try_init()?;
        Ok(Self { provider, spans, bytes, feed: Feed::new()? })
    }

    pub(crate) fn app(&self, subject: Subject) -> Router {
        let user = |Path(id): Path<u32>| async move { Json([id, 7, 42]) };
        let feed = self.feed.clone();
        let router = Router::new()
            .route("/api/users/{id}", get(user))
            .route("/api/activities", get(move || async move { feed.newest() }));
        subject.around(router, &self.provider, Extent::Default)
    }

    /// Waits until all spans are exported, and says how many there were so far.
    pub(crate) fn flush(&self) -> Result<u64> {
        self.provider.force_flush()?;
        Ok(self.spans.load(Ordering::Relaxed))
    }

    pub(crate) fn bytes_per_span(&self) -> f64 {
        let spans = self.spans.load(Ordering::Relaxed).max(1);
        self.bytes.load(Ordering::Relaxed) as f64 / spans as f64
    }
}
