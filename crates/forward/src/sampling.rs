//! Tail sampling: reads ahead of the sinks, waits until a trace is quiet, and decides about it once and for all.
//!
//! No span waits in memory. The sinks read what is stored a second time, up to the place before which every trace is decided, and
//! leave out what does not go on. What is read ahead is which traces the spans belong to, and a decision is made by the trace's
//! row: no block of spans is decompressed for either. Decisions are on disk before anything is sent by them, so that a trace is not judged twice:
//! neither by its late spans nor after a crash.

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

/// Of how many spans one read says which traces they belong to.
const READ: usize = 2048;
/// How many decisions one write takes.
const WRITE: usize = 256;
/// How many traces may wait to be decided; beyond that the ones that have been quiet longest are decided early.
const MOST_PENDING: usize = 65_536;
/// What is committed within this is read together.
const GATHER: Duration = Duration::from_millis(50);
/// After an error of the database.
const PAUSE: Duration = Duration::from_secs(1);

/// Tail sampling at work, for any number of sinks. It ends when the last clone is dropped.
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
    /// Begins to decide, from where the last of `sinks` has come to with spans.
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

    /// The place up to which everything is decided, and later ones.
    pub(crate) fn decided(&self) -> watch::Receiver<u64> {
        self.decided.clone()
    }

    /// How many each of these traces stands for, 0 for those that do not go on. Where the decision is forgotten it is made again.
    pub(crate) async fn rates(&self, trace_ids: BTreeSet<TraceId>) -> Result<HashMap<TraceId, u64>, StoreError> {
        let mut rates = self.decider.outbox.rates(trace_ids.iter().copied().collect()).await?;
        let missing: Vec<_> = trace_ids.into_iter().filter(|trace_id| !rates.contains_key(trace_id)).collect();
        rates.extend(self.decider.decide(&missing).await?);
        Ok(rates)
    }
}

impl Decider {
    /// Decides about traces by what is stored of them now.
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

/// A trace that is not decided.
#[derive(Debug)]
struct Pending {
    /// Of the first span beyond what is delivered.
    first_place: u64,
    since: Instant,
    last: Instant,
}

#[derive(Debug)]
struct Sampler {
    decider: Decider,
    /// What is read.
    place: u64,
    pending: HashMap<TraceId, Pending>,
    most_pending: usize,
    decided: watch::Sender<u64>,
}

impl Sampler {
    fn new(decider: Decider, decided: watch::Sender<u64>) -> Self {
        Self { decider, place: 0, pending: HashMap::new(), most_pending: MOST_PENDING, decided }
    }

    async fn run(mut self, sinks: Vec<SinkName>) {
        while let Err(error) = self.begin(&sinks).await {
            if self.failed(&error).await.is_err() {
                return;
            }
        }
        loop {
            // Before the read: what is committed after it wakes us.
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

    /// Reads on, and decides what is due; whether there may be more to read.
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
                // What comes late goes where the rest of it went.
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
        let too_many = due.len().saturating_sub(self.most_pending);
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

    /// An error when nobody is interested any more.
    async fn failed(&self, error: &StoreError) -> Result<(), ()> {
        if matches!(error, StoreError::Closed) || self.decided.is_closed() {
            return Err(());
        }
        tracing::warn!(%error, "traces cannot be judged at present: they wait");
        let more = Duration::from_millis(u64::from(chance() % 1000));
        tokio::time::sleep(PAUSE + more).await;
        Ok(())
    }
}

fn now_s() -> u64 {
    // A clock that is set before 1970 is at its beginning.
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

        /// One more span of a trace, read at once; the place up to which all is decided then.
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

    /// The clock stands still but for these steps.
    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    const A_LITTLE: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn whatever_is_added_makes_it_wait_anew() {
        let mut bench = Bench::new();
        assert_eq!(bench.add(1, StatusCode::Unset).await, 0);
        pass(QUIET - A_LITTLE).await;
        assert_eq!(bench.add(1, StatusCode::Error).await, 0);
        pass(QUIET - A_LITTLE).await;
        assert_eq!((bench.round().await, bench.rate(1).await), (0, None));
        pass(A_LITTLE).await;
        assert_eq!((bench.round().await, bench.rate(1).await), (2, Some(1)));
        // What was read beyond it does not wait for it, and is not decided with it.
        assert_eq!(bench.add(2, StatusCode::Unset).await, 2);
        assert!(bench.sampler.next_due() == Instant::now() + QUIET);
    }

    /// A decision reads no block: there is none left that could be read.
    #[tokio::test(start_paused = true)]
    async fn no_span_is_read_for_a_decision() {
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
    async fn a_trace_that_waits_keeps_back_what_comes_after_it_and_no_more() {
        let mut bench = Bench::new();
        bench.add(1, StatusCode::Unset).await;
        pass(QUIET / 2).await;
        assert_eq!(bench.add(2, StatusCode::Unset).await, 0);
        assert_eq!(bench.add(1, StatusCode::Unset).await, 0);
        pass(QUIET / 2).await;
        assert_eq!(bench.add(1, StatusCode::Unset).await, 0);
        pass(QUIET / 2).await;
        assert_eq!((bench.round().await, bench.rate(2).await), (0, Some(0)), "decided, but behind one that is not");
        pass(QUIET / 2).await;
        assert_eq!(bench.round().await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_waits_for_nothing() {
        let mut bench = Bench::new();
        bench.add(1, StatusCode::Unset).await;
        pass(QUIET).await;
        assert_eq!(bench.round().await, 1);
        assert_eq!(bench.add(1, StatusCode::Error).await, 2, "its trace is decided");
        assert_eq!(bench.rate(1).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_the_one_that_has_been_quiet_longest_is_decided_early() {
        let mut bench = Bench::new();
        bench.sampler.most_pending = 2;
        for trace in 1..=3 {
            pass(A_LITTLE).await;
            bench.add(trace, StatusCode::Unset).await;
        }
        assert_eq!((bench.rate(1).await, bench.rate(2).await), (Some(0), None));
        assert_eq!(bench.sampler.pending.len(), 2);
    }
}
