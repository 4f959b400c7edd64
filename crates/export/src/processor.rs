//! [`EncodingSpanProcessor`] and how it is made.

use std::{
    cell::Cell,
    error::Error as StdError,
    fmt::{self, Debug, Formatter},
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_http::HttpClient;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use thiserror::Error;

use crate::{body::Source, client::BodyClient, encode, queue::Queue, settings::Settings, worker};

/// How long a flush waits, as in the SDK's own batch processor.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for one span that a thread keeps; most take below 1 KiB.
const KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where this thread encodes, so that nobody waits for it with a lock.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A batch span processor that encodes each span where it ends.
///
/// A span that finds no room in the queue is dropped and counted; nothing here ever waits for an exporter but
/// [`force_flush`](SpanProcessor::force_flush) and [`shutdown`](SpanProcessor::shutdown). Drop it, or shut the provider down, to end
/// its thread.
pub struct EncodingSpanProcessor {
    queue: Arc<Queue>,
    source: Arc<Mutex<Source>>,
}

impl EncodingSpanProcessor {
    /// For an exporter that posts by `client`: a `reqwest::blocking::Client`, for one. Settings are those of the environment.
    ///
    /// The client's own timeout bounds each request. It runs on a thread of the processor, outside of any asynchronous runtime.
    #[must_use]
    pub fn builder(client: impl HttpClient + 'static) -> Builder {
        Builder { client: Arc::new(client), settings: Settings::from_env() }
    }

    /// How many spans were dropped so far, because the queue was full or shut down.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl SpanProcessor for EncodingSpanProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // A thread that is ending has none left.
        let mut encoded = SCRATCH.try_with(Cell::take).unwrap_or_default();
        encoded.clear();
        encode::span(&mut encoded, &span);
        self.queue.push(&span.instrumentation_scope, &encoded);
        if encoded.capacity() <= KEPT_BYTES {
            // And keeps none.
            let _ = SCRATCH.try_with(|scratch| scratch.set(encoded));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.flush(FLUSH_TIMEOUT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shut_down(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Source::of(resource);
    }
}

impl Debug for EncodingSpanProcessor {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        // Not the spans: nobody can read them, and whoever ends one would wait meanwhile.
        formatter.debug_struct("EncodingSpanProcessor").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Drop for EncodingSpanProcessor {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Makes an [`EncodingSpanProcessor`].
#[derive(Clone, Debug)]
pub struct Builder {
    client: Arc<dyn HttpClient>,
    settings: Settings,
}

impl Builder {
    /// How long a span waits for company, at most.
    #[must_use]
    pub fn scheduled_delay(mut self, delay: Duration) -> Self {
        self.settings.scheduled_delay = delay;
        self
    }

    /// How many spans go in one request, at most; 0 is taken for 1. Fewer go where they take more than a MiB or half of
    /// `max_queue_bytes`, and no more than `max_queue_size`.
    #[must_use]
    pub fn max_export_batch_size(mut self, spans: usize) -> Self {
        self.settings.max_export_batch_size = spans;
        self
    }

    /// How many spans wait or are on their way, at most; with 0 all are dropped.
    #[must_use]
    pub fn max_queue_size(mut self, spans: usize) -> Self {
        self.settings.max_queue_size = spans;
        self
    }

    /// How many bytes the encoded spans take that wait or are on their way, at most.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_queue_bytes = bytes;
        self
    }

    /// Starts the processor with the exporter that `exporter` makes: one of `opentelemetry-otlp` over HTTP with protobuf, which has
    /// to use the client that is given to it.
    ///
    /// An exporter that does not is told when it is first used: flushes fail, and an error is logged.
    ///
    /// # Errors
    /// The exporter's own, and when no thread can be started.
    pub fn build<E, Problem>(
        self,
        exporter: impl FnOnce(BodyClient) -> Result<E, Problem>,
    ) -> Result<EncodingSpanProcessor, BuildError>
    where
        E: SpanExporter + 'static,
        Problem: StdError + Send + Sync + 'static,
    {
        let client = BodyClient::new(self.client);
        let exporter = exporter(client.clone()).map_err(|problem| BuildError::Exporter(Box::new(problem)))?;
        let (queue, source) = (Arc::new(Queue::new(self.settings)), Arc::default());
        let processor = EncodingSpanProcessor { queue: Arc::clone(&queue), source: Arc::clone(&source) };
        thread::Builder::new()
            .name("throughline-export".to_owned())
            .spawn(move || worker::run(&queue, &source, &client, &exporter))
            .map_err(BuildError::Thread)?;
        Ok(processor)
    }
}

/// Why there is no processor.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The exporter cannot be made.
    #[error("the exporter cannot be made: {0}")]
    Exporter(#[source] Box<dyn StdError + Send + Sync>),
    /// Its thread cannot be started.
    #[error("the exporter's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}
