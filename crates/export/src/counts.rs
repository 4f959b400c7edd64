//! Counts of exported and lost spans.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The numbers of exported spans, and of lost spans by reason, since the start of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Accepted by the receiver.
    pub exported: u64,
    /// Dropped when they ended: the queue was full or shut down.
    pub dropped: u64,
    /// Refused by the receiver: with an HTTP status that is not retried, or as part of a batch (partial success).
    pub refused: u64,
    /// Given up, because retries failed for longer than `retry_for`.
    pub given_up: u64,
    /// Not sent before the shutdown timeout, or lost because the exporter's thread panicked.
    pub unsent: u64,
}

impl Counts {
    /// Returns the total number of lost spans.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.dropped + self.refused + self.given_up + self.unsent
    }
}

/// A handle to the [`Counts`] of a processor that a tracer provider owns.
#[derive(Clone, Debug)]
pub struct Monitor(pub(crate) Arc<Counters>);

impl Monitor {
    /// Returns the current counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.read()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) exported: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) unsent: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let [exported, dropped, refused, given_up, unsent] =
            [&self.exported, &self.dropped, &self.refused, &self.given_up, &self.unsent]
                .map(|counter| counter.load(Ordering::Relaxed));
        Counts { exported, dropped, refused, given_up, unsent }
    }
}

pub(crate) fn add(counter: &AtomicU64, spans: u64) {
    counter.fetch_add(spans, Ordering::Relaxed);
}
