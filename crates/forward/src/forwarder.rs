//! Starting and stopping a sink.

use crate::{
    ForwardConfig, OtlpSink, SinkStatus,
    status::SinkState,
    upstream::{ClientError, Upstream},
    worker::Worker,
};
use std::time::Duration;
use throughline_store::Store;
use tokio::{sync::watch, task::JoinHandle};

/// A sink at work. When it is dropped, work ends at the next opportunity; [`Forwarder::shutdown`] also waits for it.
#[derive(Debug)]
pub struct Forwarder {
    status: watch::Receiver<SinkStatus>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    shutdown_timeout: Duration,
}

/// Starts delivering what the store holds beyond the sink's cursor, and goes on with whatever is committed.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// A header cannot be sent, or HTTPS cannot be set up. Nothing is sent before that is known.
pub fn spawn(store: Store, sink: OtlpSink, config: ForwardConfig) -> Result<Forwarder, ClientError> {
    let upstream = Upstream::new(&sink, &config)?;
    let (status_sender, status) = watch::channel(SinkStatus {
        name: sink.name.clone(),
        endpoint: upstream.shown_endpoint(),
        state: SinkState::Idle,
        ..SinkStatus::default()
    });
    let (stop, stopping) = watch::channel(false);
    let worker = Worker::new(store, sink, config, upstream, status_sender, stopping);
    let task = tokio::spawn(worker.run());
    Ok(Forwarder { status, stop, task, shutdown_timeout: config.shutdown_timeout })
}

impl Forwarder {
    /// What the sink is doing, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SinkStatus> {
        self.status.clone()
    }

    /// Delivers what is waiting, without lingering, as long as the upstream takes it and
    /// [`ForwardConfig::shutdown_timeout`] allows. The rest is delivered when a sink of that name is started again.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        match tokio::time::timeout(self.shutdown_timeout, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a sink ended badly"),
            Err(_) => {
                self.task.abort();
                let status = self.status.borrow();
                tracing::warn!(sink = %status.name, waiting = status.waiting, "a sink was stopped with spans waiting");
            }
        }
    }
}
