//! What waits: batches that are being filled, that are full, and that are on their way.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use crate::{body::Batch, settings::Settings};

/// A batch is full with as many bytes: doors have limits, and most take 4 MiB.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

pub(crate) struct Queue {
    settings: Settings,
    max_batch_bytes: usize,
    state: Mutex<State>,
    /// There is something to do for the worker.
    work: Condvar,
    /// A batch has gone, or the worker has ended.
    progress: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    open: Batch,
    /// When the first span came into `open`.
    opened: Option<Instant>,
    full: VecDeque<Batch>,
    /// Emptied, with its memory.
    spare: Option<Batch>,
    /// Of all batches, those on their way too.
    spans: usize,
    bytes: usize,
    /// Batches that were closed so far, and those of them that have gone.
    closed: u64,
    gone: u64,
    /// Which batch failed last, and why.
    failure: Option<(u64, String)>,
    is_shut_down: bool,
    is_over: bool,
}

impl State {
    fn close_batch(&mut self) {
        if !self.open.is_empty() {
            let next = self.spare.take().unwrap_or_default();
            self.full.push_back(std::mem::replace(&mut self.open, next));
            self.opened = None;
            self.closed += 1;
        }
    }
}

impl Queue {
    pub(crate) fn new(mut settings: Settings) -> Self {
        // The queue must not be full before a batch is: nothing would go, and all that comes be dropped, until the delay is over.
        settings.max_export_batch_size = settings.max_export_batch_size.min(settings.max_queue_size);
        let max_batch_bytes = MAX_BATCH_BYTES.min(settings.max_queue_bytes / 2);
        let (state, work, progress) = Default::default();
        Self { settings, max_batch_bytes, state, work, progress, dropped: AtomicU64::new(0) }
    }

    /// Takes an encoded span in, or drops and counts it where there is no room.
    pub(crate) fn push(&self, scope: &InstrumentationScope, span: &[u8]) {
        let mut state = self.lock();
        let has_room = state.spans < self.settings.max_queue_size
            && state.bytes.saturating_add(span.len()) <= self.settings.max_queue_bytes;
        if !has_room || state.is_shut_down {
            // Nothing is logged from here: this is within the end of a span, and a log has spans, too.
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if span.len() >= self.max_batch_bytes {
            // It goes alone: who refuses it refuses no others with it.
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
        // From the first one on the worker watches the clock.
        if is_first || is_full {
            self.work.notify_one();
        }
    }

    /// How many spans were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The next batch to go; waits until there is one. `None` once all has gone after a shutdown.
    pub(crate) fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.full.pop_front() {
                return Some(batch);
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

    /// `batch`, the one that [`next`](Self::next) gave last, has gone.
    pub(crate) fn gone(&self, mut batch: Batch, result: Result<(), String>) {
        let (spans, bytes) = (batch.spans, batch.bytes);
        // Memory is given back before the lock is taken, and after.
        batch.clear();
        let mut state = self.lock();
        state.spans -= spans;
        state.bytes -= bytes;
        state.gone += 1;
        if let Err(problem) = result {
            state.failure = Some((state.gone, problem));
        }
        let _surplus = state.spare.replace(batch);
        drop(state);
        self.progress.notify_all();
    }

    /// The worker has ended. What is left, if it panicked, is lost; no memory is kept.
    pub(crate) fn over(&self) {
        let mut state = self.lock();
        (state.is_shut_down, state.is_over) = (true, true);
        self.dropped.fetch_add(state.spans as u64, Ordering::Relaxed);
        let _lost = (std::mem::take(&mut state.open), std::mem::take(&mut state.full), state.spare.take());
        drop(state);
        self.progress.notify_all();
    }

    /// Sends what waits, and waits until it has gone.
    pub(crate) fn flush(&self, timeout: Duration) -> OTelSdkResult {
        let state = self.lock();
        if state.is_over { Err(OTelSdkError::AlreadyShutdown) } else { self.send_all(state, timeout) }
    }

    fn send_all(&self, mut state: MutexGuard<'_, State>, timeout: Duration) -> OTelSdkResult {
        state.close_batch();
        let (before, target) = (state.gone, state.closed);
        self.work.notify_one();
        let is_waiting = |state: &mut State| state.gone < target && !state.is_over;
        let (state, waited) =
            self.progress.wait_timeout_while(state, timeout, is_waiting).unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            _ if waited.timed_out() => Err(OTelSdkError::Timeout(timeout)),
            Some((batch, problem)) if *batch > before => Err(OTelSdkError::InternalFailure(problem.clone())),
            _ if state.gone < target => Err(OTelSdkError::InternalFailure("the exporter's thread panicked".to_owned())),
            _ => Ok(()),
        }
    }

    /// Takes no further spans, sends what waits, and waits until the worker has ended.
    pub(crate) fn shut_down(&self, timeout: Duration) -> OTelSdkResult {
        let begun = Instant::now();
        let mut state = self.lock();
        if std::mem::replace(&mut state.is_shut_down, true) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        // With the same lock: what fails from now on is part of the result.
        let result = self.send_all(state, timeout);
        let rest = timeout.saturating_sub(begun.elapsed());
        let (state, waited) = self
            .progress
            .wait_timeout_while(self.lock(), rest, |state| !state.is_over)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() { result.and(Err(OTelSdkError::Timeout(timeout))) } else { result }
    }

    /// Takes no further spans, and sends what waits.
    pub(crate) fn close(&self) {
        self.lock().is_shut_down = true;
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
        })
    }

    #[test]
    fn where_nobody_works_a_flush_and_a_shutdown_wait_no_longer_than_they_may() {
        let queue = queue();
        queue.flush(Duration::ZERO).unwrap();
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
        let waits = Duration::from_millis(1);
        assert!(matches!(queue.flush(waits), Err(OTelSdkError::Timeout(waited)) if waited == waits));
        assert!(matches!(queue.shut_down(waits), Err(OTelSdkError::Timeout(waited)) if waited == waits));
    }

    #[test]
    fn a_flush_does_not_say_what_went_wrong_before() {
        let queue = queue();
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
        let batch = queue.next().unwrap();
        queue.gone(batch, Err("refused".to_owned()));
        queue.flush(Duration::ZERO).unwrap();
    }
}
