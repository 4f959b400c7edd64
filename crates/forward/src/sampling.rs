//! Tail sampling: a task that reads ahead of the sinks, waits until a trace is quiet, and decides it once.
//!
//! No span waits in memory. The task reads only which traces the spans belong to, and decides by a trace's row, so it decompresses
//! no block of spans. The sinks read the spans later, up to the position before which every trace is decided, and skip the spans
//! of dropped traces. Decisions are on disk before the sinks use them, so that a trace is not decided a second time when late spans
//! arrive or after a crash.

use crate::{SamplingRule, backoff::chance};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use throughline_context::TraceId;
use throughline_otlp::Signal;
use throughline_store::{Outbox, SinkName, SpanStore as _, Store, StoreError, TraceRun};
use tokio::{sync::watch, time::Instant};

/// The number of spans whose traces are read at once.
const READ: usize = 2048;
/// The maximum number of decisions in one write.
const WRITE: usize = 256;
/// The maximum number of undecided traces; above it, the traces that have been quiet for longest are decided early.
const MAX_PENDING: usize = 65_536;
/// The time after a commit within which further commits are read together with it.
const GATHER: Duration = Duration::from_millis(50);
/// The wait after an error of the database.
const PAUSE: Duration = Duration::from_secs(1);

/// Running tail sampling, for any number of sinks. It stops when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Sampling {
    decider: Decider,
    decided: watch::Receiver<u64>,
}

#[derive(Clone, Debug)]
struct Decider {
    store: Store,
    outbox: Outbox,
    rule: Arc<SamplingRule>,
}

impl Sampling {
    /// Starts tail sampling, at the lowest of the span cursors of `sinks`.
    ///
    /// Must be called on a tokio runtime.
    #[must_use]
    pub fn start(store: Store, outbox: Outbox, rule: SamplingRule, sinks: Vec<SinkName>) -> Self {
        let decider = Decider { store, outbox, rule: Arc::new(rule) };
        let (sender, decided) = watch::channel(0);
        let sampler = Sampler::new(decider.clone(), sender);
        tokio::spawn(sampler.run(sinks));
        Self { decider, decided }
    }

    /// Returns a receiver of the position up to which all spans are decided.
    pub(crate) fn decided(&self) -> watch::Receiver<u64> {
        self.decided.clone()
    }

    /// Returns the number of traces that each of these represents, 0 if it is not forwarded. A trace whose decision was deleted is
    /// decided again.
    pub(crate) async fn rates(&self, trace_ids: BTreeSet<TraceId>) -> Result<HashMap<TraceId, u64>, StoreError> {
        let mut rates = self.decider.outbox.rates(trace_ids.iter().copied().collect()).await?;
        let missing: Vec<_> = trace_ids.into_iter().filter(|trace_id| !rates.contains_key(trace_id)).collect();
        rates.extend(self.decider.decide(&missing).await?);
        Ok(rates)
    }
}

impl Decider {
    /// Decides traces by what is stored of them now, and returns their rates.
    async fn decide(&self, trace_ids: &[TraceId]) -> Result<HashMap<TraceId, u64>, StoreError> {
        let mut rates = HashMap::with_capacity(trace_ids.len());
        for some in trace_ids.chunks(WRITE) {
            let facts = self.store.facts(some.to_vec()).await?;
            let decisions =
                some.iter().zip(&facts).map(|(trace_id, facts)| (*trace_id, self.rule.rate(*trace_id, facts)));
            let decisions = decisions.collect();
            rates.extend(self.outbox.decide(decisions, now_s()).await?);
        }
        Ok(rates)
    }
}

/// A trace that is not decided yet.
#[derive(Debug)]
struct Pending {
    /// The position of its first span.
    first_place: u64,
    /// When its first span was read.
    since: Instant,
    /// When its latest span was read.
    last: Instant,
}

#[derive(Debug)]
struct Sampler {
    decider: Decider,
    /// The position up to which spans are read.
    place: u64,
    pending: HashMap<TraceId, Pending>,
    max_pending: usize,
    decided: watch::Sender<u64>,
}

impl Sampler {
    fn new(decider: Decider, decided: watch::Sender<u64>) -> Self {
        Self { decider, place: 0, pending: HashMap::new(), max_pending: MAX_PENDING, decided }
    }

    async fn run(mut self, sinks: Vec<SinkName>) {
        while let Err(error) = self.begin(&sinks).await {
            if self.failed(&error).await.is_err() {
                return;
            }
        }
        loop {
            // Subscribed before the read, so that a later commit wakes this task.
            let mut committed = self.decider.store.commits();
            match self.round().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    if self.failed(&error).await.is_err() {
                        return;
                    }
                    continue;
                }
            }
            let due = self.next_due();
            tokio::select! {
                () = self.decided.closed() => return,
                () = tokio::time::sleep_until(due) => {}
                changed = committed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHER).await;
                }
            }
        }
    }

    async fn begin(&mut self, sinks: &[SinkName]) -> Result<(), StoreError> {
        let mut earliest = u64::MAX;
        for sink in sinks {
            earliest = earliest.min(self.decider.store.cursor(&sink.cursor(Signal::Traces)).await?);
        }
        self.place = if sinks.is_empty() { 0 } else { earliest };
        self.decided.send_replace(self.place);
        Ok(())
    }

    /// Reads more runs, and decides the traces that are due. Returns whether there may be more to read.
    async fn round(&mut self) -> Result<bool, StoreError> {
        let runs = self.decider.store.runs_after(self.place, READ).await?;
        let more = !runs.is_empty();
        self.note(&runs).await?;
        self.decide_due().await?;
        let first_pending = self.pending.values().map(|pending| pending.first_place).min();
        let decided = first_pending.map_or(self.place, |place| place - 1);
        self.decided.send_if_modified(|known| std::mem::replace(known, decided) != decided);
        if !more {
            let before_s = now_s().saturating_sub(self.decider.rule.remember.as_secs());
            self.decider.outbox.forget_decisions(before_s).await?;
        }
        Ok(more)
    }

    async fn note(&mut self, runs: &[TraceRun]) -> Result<(), StoreError> {
        let Some(last) = runs.last() else { return Ok(()) };
        let unknown: BTreeSet<TraceId> =
            runs.iter().map(|run| run.trace_id).filter(|id| !self.pending.contains_key(id)).collect();
        let decided = self.decider.outbox.rates(unknown.into_iter().collect()).await?;
        let now = Instant::now();
        for run in runs {
            match self.pending.entry(run.trace_id) {
                Entry::Occupied(mut known) => known.get_mut().last = now,
                // A late span follows the decision on its trace.
                Entry::Vacant(_) if decided.contains_key(&run.trace_id) => {}
                Entry::Vacant(new) => {
                    new.insert(Pending { first_place: run.first, since: now, last: now });
                }
            }
        }
        self.place = last.last;
        Ok(())
    }

    async fn decide_due(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let due_at = |pending: &Pending| self.due_at(pending);
        let mut due: Vec<_> = self.pending.iter().map(|(trace_id, pending)| (due_at(pending), *trace_id)).collect();
        let too_many = due.len().saturating_sub(self.max_pending);
        due.sort_unstable();
        let on_time = due.partition_point(|(at, _)| *at <= now);
        due.truncate(on_time.max(too_many));
        for some in due.chunks(WRITE) {
            let trace_ids: Vec<_> = some.iter().map(|(_, trace_id)| *trace_id).collect();
            self.decider.decide(&trace_ids).await?;
            for trace_id in trace_ids {
                self.pending.remove(&trace_id);
            }
        }
        Ok(())
    }

    fn due_at(&self, pending: &Pending) -> Instant {
        let rule = &self.decider.rule;
        (pending.last + rule.quiet).min(pending.since + rule.longest)
    }

    fn next_due(&self) -> Instant {
        let next = self.pending.values().map(|pending| self.due_at(pending)).min();
        next.unwrap_or_else(|| Instant::now() + Duration::from_hours(1))
    }

    /// Waits after an error. Returns an error if the store is closed or all sinks are gone.
    async fn failed(&self, error: &StoreError) -> Result<(), ()> {
        if matches!(error, StoreError::Closed) || self.decided.is_closed() {
            return Err(());
        }
        tracing::warn!(%error, "cannot sample traces; retrying, they wait in the store");
        let more = Duration::from_millis(u64::from(chance() % 1000));
        tokio::time::sleep(PAUSE + more).await;
        Ok(())
    }
}

fn now_s() -> u64 {
    // A clock that is set before 1970 counts as 0.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;
    use throughline_context::SpanId;
    use throughline_otlp::{Span, Status, StatusCode};

    const QUIET: Duration = Duration::from_secs(10);

    struct Bench {
        dir: tempfile::TempDir,
        sampler: Sampler,
        decided: watch::Receiver<u64>,
        spans: u8,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (store, outbox) = (Store::open(dir.path()).unwrap(), Outbox::open(dir.path()).unwrap());
            let rule = SamplingRule::one_in(NonZeroU64::MAX).with_quiet(QUIET);
            let (sender, decided) = watch::channel(0);
            let sampler = Sampler::new(Decider { store, outbox, rule: Arc::new(rule) }, sender);
            Self { dir, sampler, decided, spans: 0 }
        }

        /// Appends a span of a trace, and returns the position up to which all spans are then decided.
        async fn add(&mut self, trace: u8, code: StatusCode) -> u64 {
            self.spans += 1;
            let id = SpanId::from_bytes([self.spans; 8]).unwrap();
            let mut span = Span::new(trace_id(trace), id, Arc::default(), Arc::default());
            span.status = Status { code, message: String::new() };
            self.sampler.decider.store.append(vec![span]).await.unwrap();
            self.round().await
        }

        async fn round(&mut self) -> u64 {
            while self.sampler.round().await.unwrap() {}
            *self.decided.borrow()
        }

        async fn rate(&self, trace: u8) -> Option<u64> {
            self.sampler.decider.outbox.rates(vec![trace_id(trace)]).await.unwrap().get(&trace_id(trace)).copied()
        }
    }

    fn trace_id(trace: u8) -> TraceId {
        TraceId::from_bytes([trace; 16]).unwrap()
    }

    /// Advances the paused clock.
    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    const A_LITTLE: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_new_span_restarts_the_wait_of_its_trace() {
        let mut bench = Bench::new();
        assert_eq!(bench.add(1, StatusCode::Unset).await, 0);
        pass(QUIET - A_LITTLE).await;
        assert_eq!(bench.add(1, StatusCode::Error).await, 0);
        pass(QUIET - A_LITTLE).await;
        assert_eq!((bench.round().await, bench.rate(1).await), (0, None));
        pass(A_LITTLE).await;
        assert_eq!((bench.round().await, bench.rate(1).await), (2, Some(1)));
        // A trace that arrives later has its own wait.
        assert_eq!(bench.add(2, StatusCode::Unset).await, 2);
        assert!(bench.sampler.next_due() == Instant::now() + QUIET);
    }

    /// All blocks are damaged, so that reading one would fail.
    #[tokio::test(start_paused = true)]
    async fn a_decision_reads_no_spans() {
        let mut bench = Bench::new();
        bench.add(1, StatusCode::Error).await;
        assert_eq!(bench.add(2, StatusCode::Unset).await, 0);
        let file = rusqlite::Connection::open(bench.dir.path().join("traces.db")).unwrap();
        assert_eq!(file.execute("UPDATE blocks SET body = zeroblob(8)", []).unwrap(), 2);
        assert!(bench.sampler.decider.store.trace(trace_id(1)).await.is_err());
        pass(QUIET).await;
        assert_eq!(bench.round().await, 2);
        assert_eq!((bench.rate(1).await, bench.rate(2).await), (Some(1), Some(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_undecided_trace_holds_back_only_later_spans() {
        let mut bench = Bench::new();
        bench.add(1, StatusCode::Unset).await;
        pass(QUIET / 2).await;
        assert_eq!(bench.add(2, StatusCode::Unset).await, 0);
        assert_eq!(bench.add(1, StatusCode::Unset).await, 0);
        pass(QUIET / 2).await;
        assert_eq!(bench.add(1, StatusCode::Unset).await, 0);
        pass(QUIET / 2).await;
        assert_eq!((bench.round().await, bench.rate(2).await), (0, Some(0)), "decided, but behind an undecided trace");
        pass(QUIET / 2).await;
        assert_eq!(bench.round().await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_span_of_a_decided_trace_does_not_wait() {
        let mut bench = Bench::new();
        bench.add(1, StatusCode::Unset).await;
        pass(QUIET).await;
        assert_eq!(bench.round().await, 1);
        assert_eq!(bench.add(1, StatusCode::Error).await, 2, "its trace is decided");
        assert_eq!(bench.rate(1).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn above_the_limit_the_trace_that_was_quiet_longest_is_decided_early() {
        let mut bench = Bench::new();
        bench.sampler.max_pending = 2;
        for trace in 1..=3 {
            pass(A_LITTLE).await;
            bench.add(trace, StatusCode::Unset).await;
        }
        assert_eq!((bench.rate(1).await, bench.rate(2).await), (Some(0), None));
        assert_eq!(bench.sampler.pending.len(), 2);
    }
}
