//! [`EncodingSpanProcessor`]: encodes spans when they end.

use std::{
    cell::Cell,
    fmt::{self, Debug, Formatter},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

use crate::{
    body::Source,
    builder::Builder,
    counts::{Counts, Monitor},
    encode,
    endpoint::ConfigError,
    queue::Queue,
};

/// The flush timeout, the same as in the SDK's batch processor.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum encode buffer that a thread keeps; most spans are smaller than 1 KiB.
const KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    /// This thread's encode buffer, so that encoding needs no lock.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A batch span processor that encodes each span when it ends.
///
/// If the queue is full, a span is dropped and counted; only [`force_flush`](SpanProcessor::force_flush) and
/// [`shutdown`](SpanProcessor::shutdown) wait for the export. Drop the processor, or shut down its provider, to end its
/// thread.
pub struct EncodingSpanProcessor {
    queue: Arc<Queue>,
    source: Arc<Mutex<Source>>,
}

impl EncodingSpanProcessor {
    /// Returns a builder with the defaults and the settings in `OTEL_BSP_*`.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns a builder with the settings in `OTEL_BSP_*` and `OTEL_EXPORTER_OTLP_*`.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if a variable of `OTEL_EXPORTER_OTLP_*` is invalid.
    pub fn builder_from_env() -> Result<Builder, ConfigError> {
        Builder::from_env()
    }

    pub(crate) fn new(queue: Arc<Queue>, source: Arc<Mutex<Source>>) -> Self {
        Self { queue, source }
    }

    /// Returns the numbers of exported and lost spans.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.queue.counters().read()
    }

    /// Returns a handle that reads the counts after a tracer provider has taken ownership of the processor, also after
    /// its shutdown.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor(Arc::clone(self.queue.counters()))
    }
}

impl SpanProcessor for EncodingSpanProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // The thread-local buffer of a thread that is ending is already gone.
        let mut encoded = SCRATCH.try_with(Cell::take).unwrap_or_else(|_| Vec::new());
        encoded.clear();
        encode::span(&mut encoded, &span);
        self.queue.push(&span.instrumentation_scope, &encoded);
        if encoded.capacity() <= KEPT_BYTES {
            // best effort: a thread that is ending keeps no buffer.
            let _kept = SCRATCH.try_with(|scratch| scratch.set(encoded));
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
        // Omits the spans: they are encoded, and reading them would block threads that end spans.
        formatter.debug_struct("EncodingSpanProcessor").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Drop for EncodingSpanProcessor {
    fn drop(&mut self) {
        self.queue.close();
    }
}
