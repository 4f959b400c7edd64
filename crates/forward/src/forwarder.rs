//! Starts and stops a sink.

use crate::{
    Delivery, ForwardConfig, OtlpSink, Sink, SinkStatus, alignment::Aligner, otlp::Otlp, outgoing::Outgoing,
    upstream::ClientError, worker::Worker,
};
use std::{sync::Arc, time::Duration};
use throughline_otlp::{DataPoint, LogRecord, Signal, Span};
use throughline_store::{Metrics, Outbox, Store};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// The stores from which records are forwarded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sources {
    /// Spans and log records.
    pub store: Store,
    /// Data points, if they are forwarded.
    pub metrics: Option<Metrics>,
    /// Sampling decisions and quarantined records.
    pub outbox: Outbox,
}

impl Sources {
    /// Creates sources without data points.
    #[must_use]
    pub const fn new(store: Store, outbox: Outbox) -> Self {
        Self { store, metrics: None, outbox }
    }

    /// Sets [`Sources::metrics`].
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

/// A running sink. Dropping it stops delivery in the background; [`Forwarder::shutdown`] waits for the end.
#[derive(Debug)]
pub struct Forwarder {
    parts: Vec<Part>,
    stop: watch::Sender<bool>,
    shutdown_timeout: Duration,
}

/// The delivery of one signal. Signals do not wait for each other.
#[derive(Debug)]
struct Part {
    signal: Signal,
    status: watch::Receiver<SinkStatus>,
    task: JoinHandle<()>,
}

/// Starts to deliver all records after the sink's cursors to an OTLP upstream, and continues with new ones as they are committed.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// [`ClientError`] if a header cannot be sent, or HTTPS cannot be set up.
pub fn spawn(sources: Sources, sink: OtlpSink, config: ForwardConfig) -> Result<Forwarder, ClientError> {
    let otlp = Otlp::new(&sink, &config)?;
    let OtlpSink { name, max_spans: max_records, align_clocks, sampling, .. } = sink;
    Ok(spawn_sink(sources, Delivery { name, max_records, align_clocks, sampling }, otlp, config))
}

/// Starts to deliver all records after the sink's cursors to any [`Sink`], and continues with new ones as they are committed.
///
/// Must be called on a tokio runtime.
pub fn spawn_sink<S: Sink>(sources: Sources, delivery: Delivery, sink: S, config: ForwardConfig) -> Forwarder {
    let Sources { store, metrics, outbox } = sources;
    let (stop, stopping) = watch::channel(false);
    let begin = Begin { outbox, delivery, sink: Arc::new(sink), config, stopping };
    let aligner = || begin.delivery.align_clocks.then(|| Aligner::new(store.clone()));
    let parts = [
        begin.part::<Span>(store.clone(), aligner()),
        begin.part::<LogRecord>(store.clone(), aligner()),
        metrics.and_then(|metrics| begin.part::<DataPoint>(metrics, None)),
    ];
    let parts = parts.into_iter().flatten().collect();
    Forwarder { parts, stop, shutdown_timeout: config.shutdown_timeout }
}

/// The common arguments of all parts of a sink.
struct Begin<S> {
    outbox: Outbox,
    delivery: Delivery,
    sink: Arc<S>,
    config: ForwardConfig,
    stopping: watch::Receiver<bool>,
}

impl<S: Sink> Begin<S> {
    /// Starts the delivery of one signal, if the sink supports it.
    fn part<R: Outgoing>(&self, queue: R::Queue, aligner: Option<Aligner>) -> Option<Part> {
        let endpoint = self.sink.endpoint(R::SIGNAL)?;
        let cursor = self.delivery.name.cursor(R::SIGNAL);
        let (status_sender, status) = watch::channel(SinkStatus::new(cursor, endpoint));
        let (outbox, delivery) = (self.outbox.clone(), self.delivery.clone());
        let (sink, stopping) = (Arc::clone(&self.sink), self.stopping.clone());
        let worker = Worker::<R, S>::new(queue, outbox, delivery, sink, self.config, status_sender, stopping);
        Some(Part { signal: R::SIGNAL, status, task: tokio::spawn(worker.aligned_by(aligner).run()) })
    }
}

impl Part {
    async fn end(mut self, deadline: Instant) {
        match timeout_at(deadline, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the task of a sink failed"),
            Err(_) => {
                self.task.abort();
                let status = self.status.borrow();
                tracing::warn!(sink = %status.cursor, waiting = status.waiting, "a sink was stopped before all records were delivered");
            }
        }
    }
}

impl Forwarder {
    /// Returns a receiver of the sink's status for a signal; `None` if the sink does not deliver it.
    #[must_use]
    pub fn status(&self, signal: Signal) -> Option<watch::Receiver<SinkStatus>> {
        self.parts.iter().find(|part| part.signal == signal).map(|part| part.status.clone())
    }

    /// Returns a receiver of the sink's status for each signal that it delivers, in the order spans, log records, data points.
    pub fn statuses(&self) -> impl Iterator<Item = watch::Receiver<SinkStatus>> + '_ {
        self.parts.iter().map(|part| part.status.clone())
    }

    /// Delivers the waiting records without lingering, until a request fails or [`ForwardConfig::shutdown_timeout`] has passed. The
    /// rest is delivered when a sink with this name is started again.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + self.shutdown_timeout;
        for part in self.parts {
            part.end(deadline).await;
        }
    }
}
