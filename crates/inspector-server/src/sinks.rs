//! The state of the sinks.

use throughline_forward::{self as forward, Forwarder};
use throughline_inspector_api::{Quarantined, Sink, SinkList, SinkState};
use throughline_store::{self as store, Outbox};
use tokio::sync::watch;

use crate::error::ApiError;

/// The maximum number of quarantined records shown per sink.
const MAX_QUARANTINED: usize = 20;

/// The sinks whose state the inspector shows.
#[derive(Clone, Debug)]
pub struct Sinks {
    outbox: Outbox,
    statuses: Vec<watch::Receiver<forward::SinkStatus>>,
}

impl Sinks {
    /// Creates the list of the sinks of these forwarders, in order; each has sinks for spans, log records and data points.
    #[must_use]
    pub fn new(outbox: Outbox, forwarders: &[Forwarder]) -> Self {
        Self { outbox, statuses: forwarders.iter().flat_map(Forwarder::statuses).collect() }
    }

    /// Returns the current state.
    pub(crate) async fn show(&self) -> Result<SinkList, ApiError> {
        let mut sinks = Vec::with_capacity(self.statuses.len());
        for status in &self.statuses {
            let status = status.borrow().clone();
            let quarantined = self.outbox.quarantined_by(&status.cursor, MAX_QUARANTINED).await?;
            sinks.push(sink(status, quarantined));
        }
        Ok(SinkList { sinks })
    }
}

fn sink(status: forward::SinkStatus, quarantined: Vec<store::Quarantined>) -> Sink {
    Sink {
        name: status.cursor.to_string(),
        endpoint: status.endpoint,
        state: match status.state {
            forward::SinkState::Idle => SinkState::Idle,
            forward::SinkState::Sampling => SinkState::Sampling,
            forward::SinkState::Delivering => SinkState::Delivering,
            forward::SinkState::Backoff => SinkState::Backoff,
            forward::SinkState::Stopped => SinkState::Stopped,
            forward::SinkState::Absent => SinkState::Absent,
        },
        delivered: status.delivered,
        waiting: status.waiting,
        oldest_ns: status.oldest_ns,
        rejected: status.rejected,
        lost: status.lost,
        sampled_out: status.sampled_out,
        last_error: status.last_error,
        next_attempt_ns: status.next_attempt_ns,
        quarantined: quarantined
            .into_iter()
            .map(|entry| Quarantined {
                trace_id: entry.trace_id.map(|id| id.to_string()),
                span_id: entry.span_id.map(|id| id.to_string()),
                count: entry.count,
                at_ns: entry.at_ns,
                reason: entry.reason,
            })
            .collect(),
    }
}
