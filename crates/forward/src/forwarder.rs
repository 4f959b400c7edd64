//! Starting and stopping a sink.

use crate::{
    ForwardConfig, OtlpSink, SinkStatus,
    outgoing::Outgoing,
    status::SinkState,
    upstream::{ClientError, Upstream},
    worker::Worker,
};
use std::time::Duration;
use throughline_otlp::{LogRecord, Span};
use throughline_store::{Outbox, Store};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use url::Url;

/// A sink at work. When it is dropped, work ends at the next opportunity; [`Forwarder::shutdown`] also waits for it.
#[derive(Debug)]
pub struct Forwarder {
    spans: Half,
    logs: Option<Half>,
    stop: watch::Sender<bool>,
    shutdown_timeout: Duration,
}

/// What delivers one kind of record; neither waits for the other.
#[derive(Debug)]
struct Half {
    status: watch::Receiver<SinkStatus>,
    task: JoinHandle<()>,
}

/// Starts delivering what the store holds beyond the sink's cursors, and goes on with whatever is committed. `outbox` remembers
/// what the upstream refused.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// A header cannot be sent, or HTTPS cannot be set up. Nothing is sent before that is known.
pub fn spawn(store: Store, outbox: Outbox, sink: OtlpSink, config: ForwardConfig) -> Result<Forwarder, ClientError> {
    let to = |endpoint: &Url| Upstream::new(&sink, endpoint, &config);
    let (spans, logs) = (to(&sink.endpoint)?, sink.logs_endpoint.as_ref().map(to).transpose()?);
    let (stop, stopping) = watch::channel(false);
    let logs = logs.map(|upstream| {
        Half::spawn::<LogRecord>(store.clone(), outbox.clone(), sink.clone(), config, upstream, stopping.clone())
    });
    let spans = Half::spawn::<Span>(store, outbox, sink, config, spans, stopping);
    Ok(Forwarder { spans, logs, stop, shutdown_timeout: config.shutdown_timeout })
}

impl Half {
    fn spawn<R: Outgoing>(
        store: Store,
        outbox: Outbox,
        sink: OtlpSink,
        config: ForwardConfig,
        upstream: Upstream,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (status_sender, status) = watch::channel(SinkStatus {
            name: R::cursor_name(&sink.name),
            endpoint: upstream.shown_endpoint(),
            state: SinkState::Idle,
            ..SinkStatus::default()
        });
        let worker = Worker::<R>::new(store, outbox, sink, config, upstream, status_sender, stopping);
        Self { status, task: tokio::spawn(worker.run()) }
    }

    async fn end(mut self, deadline: Instant) {
        match timeout_at(deadline, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a sink ended badly"),
            Err(_) => {
                self.task.abort();
                let status = self.status.borrow();
                tracing::warn!(sink = %status.name, waiting = status.waiting, "a sink was stopped with work waiting");
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

    /// Delivers what is waiting, without lingering, as long as the upstream takes it and
    /// [`ForwardConfig::shutdown_timeout`] allows. The rest is delivered when a sink of that name is started again.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + self.shutdown_timeout;
        self.spans.end(deadline).await;
        if let Some(logs) = self.logs {
            logs.end(deadline).await;
        }
    }
}
