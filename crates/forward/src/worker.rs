//! The loop of one part of a sink: reads records after the cursor, delivers them, advances the cursor, and waits for more.

use crate::{
    Answer, Delivery, ForwardConfig, Sampling, Sink, SinkState, SinkStatus,
    alignment::Aligner,
    backoff::{Backoff, chance},
    outgoing::{Outgoing, Queue as _},
    response::Partial,
    sampling_rule::weigh,
};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use throughline_otlp::Signal;
use throughline_store::{Outbox, Quarantined, SinkCursor, StoreError};
use tokio::sync::watch;

/// The state of the task that delivers one signal to a sink.
#[derive(Debug)]
pub(crate) struct Worker<R: Outgoing, S> {
    queue: R::Queue,
    outbox: Outbox,
    delivery: Delivery,
    sink: Arc<S>,
    aligner: Option<Aligner>,
    /// The position up to which tail sampling has decided, if it applies to this signal.
    decided: Option<watch::Receiver<u64>>,
    /// The name of the cursor.
    name: SinkCursor,
    config: ForwardConfig,
    status: watch::Sender<SinkStatus>,
    stopping: watch::Receiver<bool>,
    backoff: Backoff,
    /// The position up to which records are delivered, quarantined or sampled out.
    cursor: u64,
    /// The position of the cursor on disk.
    saved_cursor: u64,
}

/// The final result of a request.
enum Outcome {
    Accepted(Partial),
    Rejected(String),
}

/// The result of encoding a request.
enum Encoded<T> {
    Request(T),
    /// The records cannot be sent in one request, for this reason.
    Failed(String),
    /// The runtime is shutting down.
    Cancelled,
}

/// Whether to continue; `Stop` while shutting down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

impl<R: Outgoing, S: Sink> Worker<R, S> {
    pub(crate) fn new(
        queue: R::Queue,
        outbox: Outbox,
        delivery: Delivery,
        sink: Arc<S>,
        config: ForwardConfig,
        status: watch::Sender<SinkStatus>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let backoff = Backoff::new(config.backoff);
        let name = delivery.name.cursor(R::SIGNAL);
        let decided = delivery.sampling.as_ref().filter(|_| R::SIGNAL == Signal::Traces).map(Sampling::decided);
        Self {
            queue,
            outbox,
            delivery,
            sink,
            aligner: None,
            decided,
            name,
            config,
            status,
            stopping,
            backoff,
            cursor: 0,
            saved_cursor: 0,
        }
    }

    /// Sets the aligner, which shifts the records of pages.
    pub(crate) fn aligned_by(mut self, aligner: Option<Aligner>) -> Self {
        self.aligner = aligner;
        self
    }

    pub(crate) async fn run(mut self) {
        if self.load_cursor().await == Flow::Stop {
            return;
        }
        let max_records = self.delivery.max_records.max(1);
        loop {
            // Both are read before the records: a later commit wakes this task, and no record from before the shutdown is missed.
            let stopping = self.is_stopping();
            let committed = self.queue.commits();
            let decided = self.decided.as_mut().map_or(u64::MAX, |decided| *decided.borrow_and_update());
            let flow = match R::after(&self.queue, self.cursor, max_records).await {
                Ok(mut batch) => {
                    // Records between the cursor and the first one were deleted, and do not count as waiting.
                    let before_first = batch.first().map_or(0, |(place, _)| place.saturating_sub(1));
                    self.cursor = self.cursor.max(before_first);
                    let undecided = batch.split_off(batch.partition_point(|(place, _)| *place <= decided));
                    match (batch.is_empty(), stopping) {
                        (true, true) => Flow::Stop,
                        (true, false) => self.idle(committed, undecided.first().map(|(_, record)| record)).await,
                        (false, _) => self.deliver(batch).await,
                    }
                }
                Err(error) => self.store_failed(&error).await,
            };
            if flow == Flow::Stop {
                // If the cursor cannot be saved, records are delivered again after the next start.
                self.save_cursor().await;
                return;
            }
        }
    }

    async fn load_cursor(&mut self) -> Flow {
        loop {
            match self.queue.cursor(&self.name).await {
                Ok(cursor) => {
                    (self.cursor, self.saved_cursor) = (cursor, cursor);
                    return Flow::Continue;
                }
                Err(error) => {
                    if self.store_failed(&error).await == Flow::Stop {
                        return Flow::Stop;
                    }
                }
            }
        }
    }

    /// Waits until more records are committed, and lingers, so that they are sent in one request; or, if there are undecided spans,
    /// until more are decided.
    async fn idle(&mut self, mut committed: watch::Receiver<u64>, undecided: Option<&R>) -> Flow {
        self.save_cursor().await;
        let state = if undecided.is_some() { SinkState::Sampling } else { SinkState::Idle };
        let (waiting, lost) = self.waiting_and_lost().await;
        let waiting = if undecided.is_some() { waiting.max(1) } else { 0 };
        let oldest_ns = undecided.map(Outgoing::ended_ns);
        self.status.send_if_modified(|status| {
            let now = (state, waiting, oldest_ns, lost);
            let same = (status.state, status.waiting, status.oldest_ns, status.lost) == now;
            (status.state, status.waiting, status.oldest_ns, status.lost) = now;
            !same
        });
        let decided = async {
            match &mut self.decided {
                Some(decided) if undecided.is_some() => decided.changed().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = committed.changed() => if changed.is_err() {
                return Flow::Stop;
            },
            changed = decided => return if changed.is_err() { Flow::Stop } else { Flow::Continue },
            () = stopped(&mut self.stopping) => return Flow::Continue,
        }
        // When stopping, the next round delivers the remaining records and then stops.
        match self.pause(self.config.linger).await {
            Flow::Continue | Flow::Stop => Flow::Continue,
        }
    }

    async fn deliver(&mut self, batch: Vec<(u64, R)>) -> Flow {
        let Some((end, _)) = batch.last() else { return Flow::Continue };
        let end = *end;
        self.begin(&batch).await;
        let batch = match self.prepare(batch).await {
            Ok(batch) => batch,
            Err(error) => return self.store_failed(&error).await,
        };
        let (places, records): (Vec<u64>, Vec<R>) = batch.into_iter().unzip();
        let records = Arc::new(records);
        // A stack with the earliest piece on top, so that the cursor only advances.
        let mut pieces = Vec::from([Range { start: 0, end: records.len() }]);
        while let Some(piece) = pieces.pop().filter(|piece| !piece.is_empty()) {
            let outcome = match self.encode(&records, piece.clone()).await {
                Encoded::Request(request) => self.send(request).await,
                Encoded::Failed(reason) => Some(Outcome::Rejected(reason)),
                Encoded::Cancelled => None,
            };
            let Some(outcome) = outcome else { return Flow::Stop };
            let last = piece.end - 1;
            match outcome {
                Outcome::Accepted(partial) => self.accepted(piece.len(), places[last], partial).await,
                Outcome::Rejected(_) if piece.len() > 1 => {
                    let middle = piece.start + piece.len() / 2;
                    pieces.push(middle..piece.end);
                    pieces.push(piece.start..middle);
                    continue;
                }
                Outcome::Rejected(reason) => self.quarantine(&records[last], places[last], reason).await,
            }
            self.cursor = places[last];
            self.save_cursor().await;
        }
        self.cursor = end;
        self.save_cursor().await;
        Flow::Continue
    }

    /// Removes the spans that tail sampling drops, and shifts the records of pages.
    async fn prepare(&mut self, mut batch: Vec<(u64, R)>) -> Result<Vec<(u64, R)>, StoreError> {
        if let Some(sampling) = self.delivery.sampling.as_ref().filter(|_| self.decided.is_some()) {
            let trace_ids = batch.iter().filter_map(|(_, record)| record.ids().0).collect();
            let rates = sampling.rates(trace_ids).await?;
            let before = batch.len();
            batch.retain_mut(|(_, record)| {
                let rate = record.sampled().map(|span| {
                    let rate = rates.get(&span.trace_id).copied().unwrap_or(1);
                    weigh(span, rate);
                    rate
                });
                rate != Some(0)
            });
            let left_out = (before - batch.len()) as u64;
            if left_out > 0 {
                self.status.send_modify(|status| {
                    status.sampled_out += left_out;
                    status.waiting = status.waiting.saturating_sub(left_out);
                });
            }
        }
        if let Some(aligner) = &mut self.aligner {
            aligner.align(&mut batch).await?;
        }
        Ok(batch)
    }

    /// Encodes a piece of a batch as a request.
    async fn encode(&self, records: &Arc<Vec<R>>, piece: Range<usize>) -> Encoded<S::Request> {
        let (sink, records) = (Arc::clone(&self.sink), Arc::clone(records));
        // Compressing a megabyte takes milliseconds, which must not block the application's requests.
        let encoded = tokio::task::spawn_blocking(move || sink.request(R::records(&records[piece])));
        match encoded.await {
            Ok(Ok(request)) => Encoded::Request(request),
            Ok(Err(reason)) => Encoded::Failed(reason),
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "encoding a batch panicked");
                Encoded::Failed("encoding panicked".to_owned())
            }
            Err(_) => Encoded::Cancelled,
        }
    }

    /// Sends a request until it is accepted or rejected; `None` if the worker is stopped before that.
    async fn send(&mut self, request: S::Request) -> Option<Outcome> {
        loop {
            let (state, reason, wait) = match self.sink.send(R::SIGNAL, &request).await {
                Answer::Accepted => return Some(Outcome::Accepted(Partial::default())),
                Answer::PartiallyAccepted { rejected, message } => {
                    return Some(Outcome::Accepted(Partial { rejected, message }));
                }
                Answer::Rejected { reason } => return Some(Outcome::Rejected(reason)),
                Answer::Unsupported { reason, .. } if R::SIGNAL != Signal::Traces => {
                    (SinkState::Absent, reason, self.config.absent_probe)
                }
                Answer::RetryLater { reason, after } | Answer::Unsupported { reason, after } => {
                    let backoff = self.backoff.next(chance());
                    (SinkState::Backoff, reason, wait_time(backoff, after, self.config.max_retry_after))
                }
                Answer::Stopped { reason } => (SinkState::Stopped, reason, self.config.auth_probe),
            };
            self.failed(state, reason, wait).await;
            if self.pause(wait).await == Flow::Stop {
                return None;
            }
            self.status.send_modify(|status| status.next_attempt_ns = None);
        }
    }

    /// Returns the number of waiting and of lost records; the previous numbers if the store cannot be read.
    async fn waiting_and_lost(&self) -> (u64, u64) {
        let (waiting, lost) = (R::waiting(&self.queue, self.cursor).await, self.queue.lost(&self.name).await);
        for error in [waiting.as_ref().err(), lost.as_ref().err()].into_iter().flatten() {
            tracing::debug!(sink = %self.name, %error, "cannot count the waiting and lost records of a sink");
        }
        let known = self.status.borrow();
        (waiting.unwrap_or(known.waiting), lost.unwrap_or(known.lost))
    }

    async fn begin(&self, batch: &[(u64, R)]) {
        let (waiting, lost) = self.waiting_and_lost().await;
        let waiting = waiting.max(batch.len() as u64);
        let oldest_ns = batch.first().map(|(_, record)| record.ended_ns());
        self.status.send_modify(|status| {
            if matches!(status.state, SinkState::Idle | SinkState::Sampling) {
                status.state = SinkState::Delivering;
            }
            status.waiting = waiting;
            status.lost = lost;
            status.oldest_ns = oldest_ns;
        });
    }

    async fn accepted(&mut self, count: usize, last_place: u64, partial: Partial) {
        let count = count as u64;
        let rejected = partial.rejected.min(count);
        self.backoff.reset();
        if !partial.message.is_empty() || rejected > 0 {
            let name = &self.name;
            tracing::warn!(sink = %name, rejected, message = %partial.message, "the upstream accepted a batch in part");
        }
        if rejected > 0 {
            // The response does not identify the rejected records, and the specification forbids sending the batch again.
            let reason = format!("partial success: {}", partial.message);
            self.note(Quarantined::new(last_place, now_ns(), reason).with_count(rejected)).await;
        }
        let mut was = SinkState::Idle;
        self.status.send_modify(|status| {
            was = status.state;
            status.state = SinkState::Delivering;
            status.delivered += count - rejected;
            status.rejected += rejected;
            status.waiting = status.waiting.saturating_sub(count);
            status.last_error = None;
            if rejected > 0 {
                status.last_rejection = Some(partial.message);
            }
        });
        if matches!(was, SinkState::Backoff | SinkState::Stopped | SinkState::Absent) {
            tracing::info!(sink = %self.name, "the upstream accepts {}s", R::SIGNAL.record());
        }
    }

    /// Quarantines a record: it stays in the store, but this sink does not send it again.
    async fn quarantine(&mut self, record: &R, place: u64, reason: String) {
        self.backoff.reset();
        let (trace_id, span_id) = record.ids();
        self.note(Quarantined::new(place, now_ns(), reason.clone()).with_ids(trace_id, span_id)).await;
        let (trace_id, span_id) = (trace_id.map(tracing::field::display), span_id.map(tracing::field::display));
        let (name, what) = (&self.name, R::SIGNAL.record());
        tracing::warn!(sink = %name, trace_id, span_id, %reason, "the upstream rejected a {what}, which is quarantined");
        self.status.send_modify(|status| {
            status.state = SinkState::Delivering;
            status.rejected += 1;
            status.waiting = status.waiting.saturating_sub(1);
            status.last_rejection = Some(reason);
        });
    }

    /// Stores an entry in the quarantine. This is done before the cursor advances: after a crash in between, the same entry is
    /// stored again, instead of being lost.
    async fn note(&self, entry: Quarantined) {
        if let Err(error) = self.outbox.quarantine(&self.name, entry).await {
            tracing::error!(sink = %self.name, %error, "cannot store a quarantine entry");
        }
    }

    async fn failed(&self, state: SinkState, reason: String, wait: Duration) {
        let name = &self.name;
        let what = R::SIGNAL.record();
        let was = self.status.borrow().state;
        match state {
            // The warning is logged once, not at every attempt.
            _ if was == state => tracing::debug!(sink = %name, %reason, "the upstream still does not accept {what}s"),
            SinkState::Stopped => tracing::error!(
                sink = %name, %reason,
                "the upstream rejects the key: delivery stops until the key is accepted; {what}s are kept",
            ),
            SinkState::Absent => tracing::warn!(
                sink = %name, %reason,
                "the upstream has no endpoint for {what}s: they are kept and retried at intervals",
            ),
            _ => {
                tracing::warn!(sink = %name, %reason, "the upstream does not accept {what}s: they are kept and retried");
            }
        }
        let (waiting, lost) = self.waiting_and_lost().await;
        let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.status.send_modify(|status| {
            status.state = state;
            status.waiting = status.waiting.max(waiting);
            status.lost = lost;
            status.last_error = Some(reason);
            status.next_attempt_ns = Some(now_ns().saturating_add(wait_ns));
        });
    }

    async fn store_failed(&mut self, error: &StoreError) -> Flow {
        if matches!(error, StoreError::Closed) {
            return Flow::Stop;
        }
        let wait = self.backoff.next(chance());
        self.failed(SinkState::Backoff, format!("the store cannot be read: {error}"), wait).await;
        let flow = self.pause(wait).await;
        self.status.send_modify(|status| status.next_attempt_ns = None);
        flow
    }

    /// Saves the cursor. If that fails, it is retried at the next advance, or when the worker is idle.
    async fn save_cursor(&mut self) {
        if self.cursor == self.saved_cursor {
            return;
        }
        match self.queue.set_cursor(&self.name, self.cursor).await {
            Ok(()) => self.saved_cursor = self.cursor,
            Err(error) => tracing::warn!(sink = %self.name, %error, "cannot save the cursor of a sink; retrying"),
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Waits for a time, or until the worker is stopped.
    async fn pause(&mut self, wait: Duration) -> Flow {
        tokio::select! {
            biased;
            () = stopped(&mut self.stopping) => Flow::Stop,
            () = tokio::time::sleep(wait) => Flow::Continue,
        }
    }
}

/// Resolves when the forwarder is shut down or dropped.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the forwarder was dropped.
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Returns the time to wait: at least the backoff, and a `Retry-After` up to its limit.
fn wait_time(backoff: Duration, retry_after: Option<Duration>, max_retry_after: Duration) -> Duration {
    retry_after.map_or(backoff, |retry_after| retry_after.min(max_retry_after).max(backoff))
}

fn now_ns() -> u64 {
    // A clock that is set before 1970 counts as 0.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_limited_and_at_least_the_backoff() {
        let seconds = Duration::from_secs;
        assert_eq!(wait_time(seconds(2), None, seconds(60)), seconds(2));
        assert_eq!(wait_time(seconds(2), Some(seconds(30)), seconds(60)), seconds(30));
        assert_eq!(wait_time(seconds(2), Some(seconds(1)), seconds(60)), seconds(2));
        assert_eq!(wait_time(seconds(2), Some(seconds(86_400)), seconds(60)), seconds(60));
    }
}
