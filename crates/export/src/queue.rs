//! The queue of batches: the open one, the full ones, and the one in flight.
//!
//! The queue is bounded in spans and in bytes, including the batch in flight. While a batch is retried the others wait
//! behind it, so an unreachable receiver causes no loss until the queue is full; then spans are dropped when they end.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use crate::{
    body::Batch,
    counts::{Counters, add},
    settings::Settings,
};

/// The size at which a batch is full. Receivers have limits; most accept 4 MiB.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How long the worker continues to send after the processor was dropped without a shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any program runs, and short enough to be added to an `Instant`.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

pub(crate) struct Queue {
    settings: Settings,
    max_batch_bytes: usize,
    state: Mutex<State>,
    /// Signalled when the worker has something to do.
    work: Condvar,
    /// Signalled when a batch is done or the worker has ended.
    progress: Condvar,
    counters: Arc<Counters>,
}

/// A batch that is ready to be sent.
pub(crate) struct Closed {
    pub(crate) batch: Batch,
    /// When it was closed.
    pub(crate) at: Instant,
}

/// The final result of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The receiver accepted all spans but `rejected`.
    Accepted { rejected: u64 },
    /// The receiver refused it.
    Refused(String),
    /// Retries failed for too long.
    GivenUp(String),
    /// The shutdown timeout has passed.
    Unsent(String),
}

#[derive(Default)]
struct State {
    open: Batch,
    /// When the first span was added to `open`.
    opened: Option<Instant>,
    full: VecDeque<Closed>,
    /// An empty batch whose memory is reused.
    spare: Option<Batch>,
    /// Totals of all batches, including those in flight.
    spans: usize,
    bytes: usize,
    /// The number of batches closed so far, and of those that are done.
    closed: u64,
    done: u64,
    /// The number of the last batch that failed, and the reason.
    failure: Option<(u64, String)>,
    /// Why the last attempt for the batch in flight failed.
    attempt: Option<String>,
    is_shut_down: bool,
    /// Set by a shutdown: nothing is sent after this time.
    deadline: Option<Instant>,
    is_over: bool,
}

impl State {
    fn close_batch(&mut self) {
        if !self.open.is_empty() {
            // default: a new batch, until the worker has returned a sent one whose memory can be used again.
            let next = self.spare.take().unwrap_or_default();
            let batch = std::mem::replace(&mut self.open, next);
            self.full.push_back(Closed { batch, at: Instant::now() });
            self.opened = None;
            self.closed += 1;
        }
    }

    fn is_past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Returns the time `length` from now.
pub(crate) fn after(length: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(length).unwrap_or(now + FOREVER)
}

impl Queue {
    pub(crate) fn new(mut settings: Settings) -> Self {
        // A batch must be full before the queue is. Otherwise nothing would be sent, and all spans dropped, until the
        // delay has passed.
        settings.max_export_batch_size = settings.max_export_batch_size.min(settings.max_queue_size);
        let max_batch_bytes = MAX_BATCH_BYTES.min(settings.max_queue_bytes / 2);
        let (state, work, progress) = Default::default();
        Self { settings, max_batch_bytes, state, work, progress, counters: Arc::default() }
    }

    /// Adds an encoded span, or drops and counts it if the queue is full.
    pub(crate) fn push(&self, scope: &InstrumentationScope, span: &[u8]) {
        let mut state = self.lock();
        let has_room = state.spans < self.settings.max_queue_size
            && state.bytes.saturating_add(span.len()) <= self.settings.max_queue_bytes;
        if !has_room || state.is_shut_down {
            // Not logged here: this runs while a span ends, and a log event can create spans.
            add(&self.counters.dropped, 1);
            return;
        }
        if span.len() >= self.max_batch_bytes {
            // It gets its own batch, so that a receiver that refuses it refuses no other spans.
            state.close_batch();
        }
        let before = state.open.bytes;
        state.open.push(scope, span);
        state.spans += 1;
        state.bytes += state.open.bytes - before;
        let is_first = state.open.spans == 1;
        if is_first {
            state.opened = Some(Instant::now());
        }
        let is_full =
            state.open.spans >= self.settings.max_export_batch_size || state.open.bytes >= self.max_batch_bytes;
        if is_full {
            state.close_batch();
        }
        drop(state);
        // With the first span the worker starts its timer.
        if is_first || is_full {
            self.work.notify_one();
        }
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(crate) fn retry_for(&self) -> Duration {
        self.settings.retry_for
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.lock().is_shut_down
    }

    /// Waits for the next batch to send. Returns `None` after a shutdown, when the queue is empty or the timeout has
    /// passed.
    pub(crate) fn next(&self) -> Option<Closed> {
        let mut state = self.lock();
        loop {
            if state.is_past_deadline() {
                return None;
            }
            if let Some(closed) = state.full.pop_front() {
                return Some(closed);
            }
            let waits = match state.opened {
                None if state.is_shut_down => return None,
                None => None,
                Some(_) if state.is_shut_down => Some(Duration::ZERO),
                Some(opened) => Some(self.settings.scheduled_delay.saturating_sub(opened.elapsed())),
            };
            state = match waits {
                Some(Duration::ZERO) => {
                    state.close_batch();
                    state
                }
                Some(waits) => self.work.wait_timeout(state, waits).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Notes why an attempt for the batch in flight failed; another attempt may follow.
    pub(crate) fn attempt_failed(&self, problem: &str) {
        self.lock().attempt = Some(problem.to_owned());
    }

    /// Waits until a batch may be retried. A shutdown that begins meanwhile ends the wait, unless the time was set by
    /// the receiver. Returns `false` if the shutdown timeout has passed or will pass before `until`.
    pub(crate) fn wait_to_retry(&self, until: Instant, is_named: bool) -> bool {
        let mut state = self.lock();
        let was_shut_down = state.is_shut_down;
        loop {
            let now = Instant::now();
            let end = match state.deadline {
                Some(deadline) if now >= deadline || (is_named && until > deadline) => return false,
                Some(_) if !was_shut_down && !is_named => return true,
                Some(deadline) => until.min(deadline),
                None => until,
            };
            if now >= until {
                return true;
            }
            let rest = end.saturating_duration_since(now);
            state = self.work.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Records the result of `batch`, the one that [`next`](Self::next) returned last.
    pub(crate) fn done(&self, mut batch: Batch, fate: Fate) {
        let (spans, bytes) = (batch.spans, batch.bytes);
        let count = spans as u64;
        let problem = match fate {
            Fate::Accepted { rejected } => {
                let rejected = rejected.min(count);
                add(&self.counters.exported, count - rejected);
                add(&self.counters.refused, rejected);
                None
            }
            Fate::Refused(problem) => {
                add(&self.counters.refused, count);
                Some(problem)
            }
            Fate::GivenUp(problem) => {
                add(&self.counters.given_up, count);
                Some(problem)
            }
            Fate::Unsent(problem) => {
                add(&self.counters.unsent, count);
                Some(problem)
            }
        };
        // Memory is freed outside of the lock.
        batch.clear();
        let mut state = self.lock();
        state.spans -= spans;
        state.bytes -= bytes;
        state.done += 1;
        state.attempt = None;
        if let Some(problem) = problem {
            state.failure = Some((state.done, problem));
        }
        let _surplus = state.spare.replace(batch);
        drop(state);
        self.progress.notify_all();
    }

    /// Marks the queue as over when the worker ends. The remaining spans are counted as lost, and all memory is freed.
    pub(crate) fn over(&self) {
        let mut state = self.lock();
        (state.is_shut_down, state.is_over) = (true, true);
        add(&self.counters.unsent, state.spans as u64);
        let _lost = (std::mem::take(&mut state.open), std::mem::take(&mut state.full), state.spare.take());
        drop(state);
        self.progress.notify_all();
    }

    /// Sends all waiting spans, and waits until they are done.
    pub(crate) fn flush(&self, timeout: Duration) -> OTelSdkResult {
        let state = self.lock();
        if state.is_over { Err(OTelSdkError::AlreadyShutdown) } else { self.send_all(state, timeout) }
    }

    fn send_all(&self, mut state: MutexGuard<'_, State>, timeout: Duration) -> OTelSdkResult {
        state.close_batch();
        let (before, target) = (state.done, state.closed);
        self.work.notify_one();
        let is_waiting = |state: &mut State| state.done < target && !state.is_over;
        let (state, waited) =
            self.progress.wait_timeout_while(state, timeout, is_waiting).unwrap_or_else(PoisonError::into_inner);
        let problem = match (&state.failure, &state.attempt) {
            (Some((batch, problem)), _) if *batch > before => Some(problem),
            (_, attempt) if state.done < target => attempt.as_ref(),
            _ => None,
        };
        let is_late = waited.timed_out() || state.is_past_deadline();
        match problem {
            Some(problem) => Err(OTelSdkError::InternalFailure(problem.clone())),
            None if state.done >= target => Ok(()),
            None if is_late => Err(OTelSdkError::Timeout(timeout)),
            None => Err(OTelSdkError::InternalFailure("the exporter's thread panicked".to_owned())),
        }
    }

    /// Stops accepting spans, sends all waiting spans, and waits until the worker has ended.
    pub(crate) fn shut_down(&self, timeout: Duration) -> OTelSdkResult {
        let begun = Instant::now();
        let mut state = self.lock();
        if std::mem::replace(&mut state.is_shut_down, true) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        state.deadline = Some(after(timeout));
        // Under the same lock, so that every later failure is part of the result.
        let result = self.send_all(state, timeout);
        let rest = timeout.saturating_sub(begun.elapsed());
        let (state, waited) = self
            .progress
            .wait_timeout_while(self.lock(), rest, |state| !state.is_over)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() { result.and(Err(OTelSdkError::Timeout(timeout))) } else { result }
    }

    /// Stops accepting spans, and lets the worker send the waiting ones for up to [`CLOSE_TIMEOUT`].
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_shut_down = true;
        state.deadline.get_or_insert_with(|| after(CLOSE_TIMEOUT));
        drop(state);
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Settings {
            scheduled_delay: Duration::MAX,
            max_export_batch_size: 1,
            max_queue_size: 1,
            max_queue_bytes: 1_000,
            retry_for: Duration::ZERO,
        })
    }

    #[test]
    fn a_flush_and_a_shutdown_time_out_without_a_worker() {
        let queue = queue();
        queue.flush(Duration::ZERO).unwrap();
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
        let waits = Duration::from_millis(1);
        assert!(matches!(queue.flush(waits), Err(OTelSdkError::Timeout(waited)) if waited == waits));
        assert!(matches!(queue.shut_down(waits), Err(OTelSdkError::Timeout(waited)) if waited == waits));
    }

    #[test]
    fn a_flush_does_not_report_earlier_failures() {
        let queue = queue();
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
        let closed = queue.next().unwrap();
        queue.done(closed.batch, Fate::Refused("no".to_owned()));
        queue.flush(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_flush_that_times_out_reports_why_the_last_attempt_failed() {
        let queue = queue();
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
        let _in_flight = queue.next().unwrap();
        queue.attempt_failed("HTTP status 503");
        let error = queue.flush(Duration::from_millis(1)).unwrap_err();
        assert!(matches!(&error, OTelSdkError::InternalFailure(problem) if problem == "HTTP status 503"), "{error}");
    }

    #[test]
    fn a_retry_waits_no_longer_than_the_shutdown_timeout() {
        let far = after(Duration::MAX);
        let queue = queue();
        assert!(queue.wait_to_retry(Instant::now(), false));
        std::thread::scope(|scope| {
            // The wait ends whether it begins before or after the shutdown.
            let waiting = scope.spawn(|| queue.wait_to_retry(far, true));
            assert!(queue.shut_down(Duration::ZERO).is_err(), "there is no worker to end");
            assert!(!waiting.join().unwrap());
        });
        for is_named in [false, true] {
            assert!(!queue.wait_to_retry(far, is_named));
        }
        assert!(queue.next().is_none());
    }
}
