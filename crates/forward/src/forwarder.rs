//! Starting and stopping a sink.

use crate::{
    ForwardConfig, OtlpSink, SinkStatus,
    alignment::Aligner,
    outgoing::Outgoing,
    upstream::{ClientError, Upstream},
    worker::Worker,
};
use std::time::Duration;
use throughline_otlp::{DataPoint, LogRecord, Span};
use throughline_store::{Metrics, Outbox, Store};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use url::Url;

/// What is delivered, and the memory of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sources {
    /// Spans and log records.
    pub store: Store,
    /// Data points, if there are any.
    pub metrics: Option<Metrics>,
    /// What sinks remember besides their cursors.
    pub outbox: Outbox,
}

impl Sources {
    /// Without data points.
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

/// A sink at work. When it is dropped, work ends at the next opportunity; [`Forwarder::shutdown`] also waits for it.
#[derive(Debug)]
pub struct Forwarder {
    spans: Part,
    logs: Option<Part>,
    metrics: Option<Part>,
    stop: watch::Sender<bool>,
    shutdown_timeout: Duration,
}

/// What delivers one kind of record; neither waits for the other.
#[derive(Debug)]
struct Part {
    status: watch::Receiver<SinkStatus>,
    task: JoinHandle<()>,
}

/// Starts delivering what lies beyond the sink's cursors, and goes on with whatever is committed.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// A header cannot be sent, or HTTPS cannot be set up. Nothing is sent before that is known.
pub fn spawn(sources: Sources, sink: OtlpSink, config: ForwardConfig) -> Result<Forwarder, ClientError> {
    let Sources { store, metrics, outbox } = sources;
    let to = |endpoint: &Url| Upstream::new(&sink, endpoint, &config);
    let (to_traces, to_logs) = (to(&sink.endpoint)?, sink.logs_endpoint.as_ref().map(to).transpose()?);
    let to_metrics = sink.metrics_endpoint.as_ref().map(to).transpose()?;
    let (stop, stopping) = watch::channel(false);
    let begin = Begin { outbox, sink, config, stopping };
    let aligner = || begin.sink.align_clocks.then(|| Aligner::new(store.clone()));
    Ok(Forwarder {
        spans: begin.part::<Span>(store.clone(), to_traces, aligner()),
        logs: to_logs.map(|upstream| begin.part::<LogRecord>(store.clone(), upstream, aligner())),
        metrics: metrics.zip(to_metrics).map(|(metrics, upstream)| begin.part::<DataPoint>(metrics, upstream, None)),
        stop,
        shutdown_timeout: config.shutdown_timeout,
    })
}

/// What all parts of a sink begin with.
struct Begin {
    outbox: Outbox,
    sink: OtlpSink,
    config: ForwardConfig,
    stopping: watch::Receiver<bool>,
}

impl Begin {
    fn part<R: Outgoing>(&self, queue: R::Queue, upstream: Upstream, aligner: Option<Aligner>) -> Part {
        let cursor = self.sink.name.cursor(R::SIGNAL);
        let (status_sender, status) = watch::channel(SinkStatus::new(cursor, upstream.shown_endpoint()));
        let (outbox, sink, stopping) = (self.outbox.clone(), self.sink.clone(), self.stopping.clone());
        let worker = Worker::<R>::new(queue, outbox, sink, self.config, upstream, status_sender, stopping);
        Part { status, task: tokio::spawn(worker.aligned_by(aligner).run()) }
    }
}

impl Part {
    async fn end(mut self, deadline: Instant) {
        match timeout_at(deadline, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a sink ended badly"),
            Err(_) => {
                self.task.abort();
                let status = self.status.borrow();
                tracing::warn!(sink = %status.cursor, waiting = status.waiting, "a sink was stopped with work waiting");
            }
        }
    }
}

impl Forwarder {
    /// What the sink is doing with spans, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SinkStatus> {
        self.spans.status.clone()
    }

    /// The same with log records; `None` if it does not deliver any.
    #[must_use]
    pub fn logs_status(&self) -> Option<watch::Receiver<SinkStatus>> {
        self.logs.as_ref().map(|logs| logs.status.clone())
    }

    /// The same with data points; `None` if it does not deliver any.
    #[must_use]
    pub fn metrics_status(&self) -> Option<watch::Receiver<SinkStatus>> {
        self.metrics.as_ref().map(|metrics| metrics.status.clone())
    }

    /// Delivers what is waiting, without lingering, as long as the upstream takes it and
    /// [`ForwardConfig::shutdown_timeout`] allows. The rest is delivered when a sink of that name is started again.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + self.shutdown_timeout;
        self.spans.end(deadline).await;
        for part in [self.logs, self.metrics].into_iter().flatten() {
            part.end(deadline).await;
        }
    }
}
