//! The loop of one half of a sink: read beyond the cursor, deliver, advance, wait for more.

use crate::{
    ForwardConfig, OtlpSink, SinkState, SinkStatus,
    backoff::{Backoff, chance},
    outgoing::Outgoing,
    response::Partial,
    upstream::{Outcome, Upstream},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{io::Write as _, marker::PhantomData, ops::Range, sync::Arc, time::Duration};
use throughline_otlp::{Encoding, Signal, encode};
use throughline_store::{SpanStore as _, Store, StoreError};
use tokio::sync::watch;

/// Everything that one task owns.
#[derive(Debug)]
pub(crate) struct Worker<R> {
    store: Store,
    sink: OtlpSink,
    /// Of the cursor.
    name: String,
    config: ForwardConfig,
    upstream: Upstream,
    status: watch::Sender<SinkStatus>,
    stopping: watch::Receiver<bool>,
    backoff: Backoff,
    /// What is dealt with.
    cursor: u64,
    /// What the store knows to be dealt with.
    saved_cursor: u64,
    of: PhantomData<fn() -> R>,
}

/// What became of a request in the end.
enum Verdict {
    Taken(Partial),
    Refused(String),
}

/// What became of an attempt to make a request's body.
enum Encoded {
    Body(Bytes),
    /// It can be made of fewer records at best.
    Not(&'static str),
    /// The runtime is ending.
    Never,
}

/// Whether to go on; `Stop` while shutting down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

impl<R: Outgoing> Worker<R> {
    pub(crate) fn new(
        store: Store,
        sink: OtlpSink,
        config: ForwardConfig,
        upstream: Upstream,
        status: watch::Sender<SinkStatus>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let backoff = Backoff::new(config.backoff);
        let name = R::cursor_name(&sink.name);
        let of = PhantomData;
        Self { store, sink, name, config, upstream, status, stopping, backoff, cursor: 0, saved_cursor: 0, of }
    }

    pub(crate) async fn run(mut self) {
        if self.load_cursor().await == Flow::Stop {
            return;
        }
        let max_spans = self.sink.max_spans.max(1);
        loop {
            // Both before the read: what is committed after it wakes us, and what was before the end is not left behind.
            let stopping = self.is_stopping();
            let committed = self.store.commits();
            let flow = match R::after(&self.store, self.cursor, max_spans).await {
                Ok(batch) if batch.is_empty() && stopping => Flow::Stop,
                Ok(batch) if batch.is_empty() => self.idle(committed).await,
                Ok(batch) => self.deliver(batch).await,
                Err(error) => self.store_failed(&error).await,
            };
            if flow == Flow::Stop {
                // What is not saved is delivered once more after the next start.
                self.save_cursor().await;
                return;
            }
        }
    }

    async fn load_cursor(&mut self) -> Flow {
        loop {
            match self.store.cursor(&self.name).await {
                Ok(cursor) => {
                    (self.cursor, self.saved_cursor) = (cursor, cursor);
                    return Flow::GoOn;
                }
                Err(error) => {
                    if self.store_failed(&error).await == Flow::Stop {
                        return Flow::Stop;
                    }
                }
            }
        }
    }

    /// Waits until more is committed, and a little longer, so that one request carries what belongs together.
    async fn idle(&mut self, mut committed: watch::Receiver<u64>) -> Flow {
        self.save_cursor().await;
        self.status.send_if_modified(|status| {
            let idle = status.state == SinkState::Idle && status.waiting == 0;
            status.state = SinkState::Idle;
            status.waiting = 0;
            !idle
        });
        tokio::select! {
            changed = committed.changed() => if changed.is_err() {
                return Flow::Stop;
            },
            () = stopped(&mut self.stopping) => return Flow::GoOn,
        }
        // When stopping, the next round delivers what there is and then stops.
        let _ = self.pause(self.config.linger).await;
        Flow::GoOn
    }

    async fn deliver(&mut self, batch: Vec<(u64, R)>) -> Flow {
        let (places, records): (Vec<u64>, Vec<R>) = batch.into_iter().unzip();
        let records = Arc::new(records);
        self.begin(records.len()).await;
        // A stack, the earliest on top: the cursor only ever advances.
        let mut pieces = Vec::from([Range { start: 0, end: records.len() }]);
        while let Some(piece) = pieces.pop() {
            let verdict = match self.encode(&records, piece.clone()).await {
                Encoded::Body(body) => self.send(body).await,
                Encoded::Not(reason) => Some(Verdict::Refused(reason.to_owned())),
                Encoded::Never => None,
            };
            let Some(verdict) = verdict else { return Flow::Stop };
            match verdict {
                Verdict::Taken(partial) => self.taken(piece.len(), partial),
                Verdict::Refused(_) if piece.len() > 1 => {
                    let middle = piece.start + piece.len() / 2;
                    pieces.push(middle..piece.end);
                    pieces.push(piece.start..middle);
                    continue;
                }
                Verdict::Refused(reason) => self.set_aside(&records[piece.start], reason),
            }
            self.cursor = places[piece.end - 1];
            self.save_cursor().await;
        }
        Flow::GoOn
    }

    /// Makes a body within the limit on bytes; a single record may be beyond it.
    async fn encode(&self, records: &Arc<Vec<R>>, piece: Range<usize>) -> Encoded {
        let limit = if piece.len() > 1 { self.sink.max_bytes } else { usize::MAX };
        let records = Arc::clone(records);
        // A megabyte takes milliseconds to compress, which are not to be taken from the application's requests.
        let encoded = tokio::task::spawn_blocking(move || {
            let body = encode(&records[piece], Encoding::Protobuf);
            (body.len() <= limit).then(|| gzip(&body))
        });
        match encoded.await {
            Ok(Some(body)) => Encoded::Body(body),
            Ok(None) => Encoded::Not("larger than a request may be"),
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "a batch could not be encoded");
                Encoded::Not("could not be encoded")
            }
            Err(_) => Encoded::Never,
        }
    }

    /// Sends until there is an answer about this body; `None` when stopping without one.
    async fn send(&mut self, body: Bytes) -> Option<Verdict> {
        loop {
            let (state, reason, wait) = match self.upstream.send(body.clone()).await {
                Outcome::Taken(partial) => return Some(Verdict::Taken(partial)),
                Outcome::Refused(reason) => return Some(Verdict::Refused(reason)),
                Outcome::Absent { reason, .. } if R::SIGNAL == Signal::Logs => {
                    (SinkState::Absent, reason, self.config.absent_probe)
                }
                Outcome::Unavailable { reason, retry_after } | Outcome::Absent { reason, retry_after } => {
                    let backoff = self.backoff.next(chance());
                    (SinkState::Backoff, reason, wait_time(backoff, retry_after, self.config.max_retry_after))
                }
                Outcome::Unauthorized(reason) => (SinkState::Stopped, reason, self.config.auth_probe),
            };
            self.failed(state, reason);
            if self.pause(wait).await == Flow::Stop {
                return None;
            }
        }
    }

    async fn begin(&self, at_least: usize) {
        // Places are numbered nearly without gaps, so the total and the cursor tell how many are still to come.
        let total = self.store.counts().await.map_or(0, |counts| R::total(&counts));
        let waiting = total.saturating_sub(self.cursor).max(at_least as u64);
        self.status.send_modify(|status| {
            if status.state == SinkState::Idle {
                status.state = SinkState::Delivering;
            }
            status.waiting = waiting;
        });
    }

    fn taken(&mut self, count: usize, partial: Partial) {
        let count = count as u64;
        let rejected = partial.rejected.min(count);
        self.backoff.reset();
        if !partial.message.is_empty() || rejected > 0 {
            let name = &self.name;
            tracing::warn!(sink = %name, rejected, message = %partial.message, "the upstream took a batch in part");
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
            tracing::info!(sink = %self.name, "the upstream takes {}s", R::SIGNAL.record());
        }
    }

    /// The record stays in the store; only this sink does not try it again.
    fn set_aside(&mut self, record: &R, reason: String) {
        self.backoff.reset();
        let (trace_id, span_id) = record.ids();
        let (trace_id, span_id) = (trace_id.map(tracing::field::display), span_id.map(tracing::field::display));
        let (name, what) = (&self.name, R::SIGNAL.record());
        tracing::warn!(sink = %name, trace_id, span_id, %reason, "the upstream refuses a {what}: it is set aside");
        self.status.send_modify(|status| {
            status.state = SinkState::Delivering;
            status.rejected += 1;
            status.waiting = status.waiting.saturating_sub(1);
            status.last_rejection = Some(reason);
        });
    }

    fn failed(&self, state: SinkState, reason: String) {
        let name = &self.name;
        let what = R::SIGNAL.record();
        let was = self.status.borrow().state;
        match state {
            // Once, not at every attempt.
            _ if was == state => tracing::debug!(sink = %name, %reason, "the upstream still does not take {what}s"),
            SinkState::Stopped => tracing::error!(
                sink = %name, %reason,
                "the upstream refuses the key: delivery is stopped until it is accepted; {what}s are kept",
            ),
            SinkState::Absent => tracing::warn!(
                sink = %name, %reason,
                "the upstream has no address for {what}s: they are kept and offered again now and then",
            ),
            _ => {
                tracing::warn!(sink = %name, %reason, "the upstream does not take {what}s: they are kept and sent later");
            }
        }
        self.status.send_modify(|status| {
            status.state = state;
            status.last_error = Some(reason);
        });
    }

    async fn store_failed(&mut self, error: &StoreError) -> Flow {
        if matches!(error, StoreError::Closed) {
            return Flow::Stop;
        }
        self.failed(SinkState::Backoff, format!("the store cannot be read: {error}"));
        let wait = self.backoff.next(chance());
        self.pause(wait).await
    }

    /// If it cannot be saved now, it is with the next advance, or when there is nothing else to do.
    async fn save_cursor(&mut self) {
        if self.cursor == self.saved_cursor {
            return;
        }
        match self.store.set_cursor(&self.name, self.cursor).await {
            Ok(()) => self.saved_cursor = self.cursor,
            Err(error) => tracing::warn!(sink = %self.name, %error, "the cursor of a sink is not saved yet"),
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Waits; when stopping, not at all.
    async fn pause(&mut self, wait: Duration) -> Flow {
        tokio::select! {
            biased;
            () = stopped(&mut self.stopping) => Flow::Stop,
            () = tokio::time::sleep(wait) => Flow::GoOn,
        }
    }
}

/// Resolves when the forwarder says so or is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Never shorter than our own backoff, never longer than is allowed.
fn wait_time(backoff: Duration, retry_after: Option<Duration>, max_retry_after: Duration) -> Duration {
    retry_after.map_or(backoff, |retry_after| retry_after.min(max_retry_after).max(backoff))
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn retry_after_is_honoured_within_reason() {
        let seconds = Duration::from_secs;
        assert_eq!(wait_time(seconds(2), None, seconds(60)), seconds(2));
        assert_eq!(wait_time(seconds(2), Some(seconds(30)), seconds(60)), seconds(30));
        assert_eq!(wait_time(seconds(2), Some(seconds(1)), seconds(60)), seconds(2));
        assert_eq!(wait_time(seconds(2), Some(seconds(86_400)), seconds(60)), seconds(60));
    }

    #[test]
    fn gzip_is_whole() {
        let body = vec![7; 100_000];
        let mut inflated = Vec::new();
        flate2::read::GzDecoder::new(gzip(&body).as_ref()).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, body);
    }
}
