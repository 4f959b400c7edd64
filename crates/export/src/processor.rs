//! [`EncodingSpanProcessor`].

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
    /// Settings are the defaults and those of the variables `OTEL_BSP_*`.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Settings are those of the variables `OTEL_BSP_*` and `OTEL_EXPORTER_OTLP_*`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn builder_from_env() -> Result<Builder, ConfigError> {
        Builder::from_env()
    }

    pub(crate) fn new(queue: Arc<Queue>, source: Arc<Mutex<Source>>) -> Self {
        Self { queue, source }
    }

    /// How many spans were exported so far, and how many were lost and why.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.queue.counters().read()
    }

    /// Reads the same when a tracer provider owns the processor, and after its shutdown.
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
        // A thread that is ending has none left.
        let mut encoded = SCRATCH.try_with(Cell::take).unwrap_or_else(|_| Vec::new());
        encoded.clear();
        encode::span(&mut encoded, &span);
        self.queue.push(&span.instrumentation_scope, &encoded);
        if encoded.capacity() <= KEPT_BYTES {
            // A thread that is ending keeps none.
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
        // Not the spans: nobody can read them, and whoever ends one would wait meanwhile.
        formatter.debug_struct("EncodingSpanProcessor").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Drop for EncodingSpanProcessor {
    fn drop(&mut self) {
        self.queue.close();
    }
}
