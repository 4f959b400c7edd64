//! The parts that all layers share: exporter, metrics, propagator, subscriber, and the application.

use anyhow::Result;
use axum::{Json, Router, extract::Path, routing::get};
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};
use tracing::Level;
use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    export::{Batches, Discard, Posts},
    feed::Feed,
    subject::{Extent, Subject},
};

/// The global state of this process.
pub struct SetUp {
    /// The tracer provider whose spans are exported.
    pub provider: SdkTracerProvider,
    posts: Posts,
    feed: Feed,
}

impl SetUp {
    /// Sets the global providers; may be called only once in a process.
    ///
    /// # Errors
    /// Returns an error if the exporter, the subscriber or the database cannot be created.
    pub fn new(batches: Batches) -> Result<Self> {
        let posts = Posts::default();
        let provider = batches.provider(posts.clone())?;
        global::set_tracer_provider(provider.clone());
        let reader = PeriodicReader::builder(Discard).build();
        global::set_meter_provider(SdkMeterProvider::builder().with_reader(reader).build());
        global::set_text_map_propagator(TraceContextPropagator::new());
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tracing"));
        tracing_subscriber::registry().with(layer.with_filter(Targets::new().with_default(Level::INFO))).try_init()?;
        Ok(Self { provider, posts, feed: Feed::new()? })
    }

    /// Returns the application wrapped in `subject`.
    pub fn app(&self, subject: Subject) -> Router {
        let user = |Path(id): Path<u32>| async move { Json([id, 7, 42]) };
        let feed = self.feed.clone();
        let router = Router::new()
            .route("/api/users/{id}", get(user))
            .route("/api/activities", get(move || async move { feed.newest() }));
        subject.around(router, &self.provider, Extent::Default)
    }

    /// Waits until all spans are exported, and returns their number so far.
    ///
    /// # Errors
    /// Returns an error if they cannot be exported.
    pub fn flush(&self) -> Result<u64> {
        self.provider.force_flush()?;
        Ok(self.posts.spans())
    }

    /// Returns the average number of bytes posted per span.
    #[must_use]
    pub fn bytes_per_span(&self) -> f64 {
        self.posts.bytes() as f64 / self.posts.spans().max(1) as f64
    }
}
