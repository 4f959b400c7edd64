//! Tail sampling: reads ahead of the sinks, waits until a trace is quiet, and decides about it once and for all.
//!
//! No span waits in memory. The sinks read what is stored a second time, up to the place before which every trace is decided, and
//! leave out what does not go on. Decisions are on disk before anything is sent by them, so that a trace is not judged twice:
//! neither by its late spans nor after a crash.

use crate::{SamplingRule, backoff::chance};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use throughline_otlp::{Span, context::TraceId};
use throughline_store::{Outbox, SpanStore as _, Store, StoreError};
use tokio::{sync::watch, time::Instant};

/// How many spans one read brings.
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
    judge: Judge,
    decided: watch::Receiver<u64>,
}

#[derive(Clone, Debug)]
struct Judge {
    store: Store,
    outbox: Outbox,
    rule: Arc<SamplingRule>,
}

impl Sampling {
    /// Begins to decide, from where the last of `sinks`, the names of their cursors, has come to.
    ///
    /// Must be called on a tokio runtime.
    #[must_use]
    pub fn start(store: Store, outbox: Outbox, rule: SamplingRule, sinks: Vec<String>) -> Self {
        let judge = Judge { store, outbox, rule: Arc::new(rule) };
        let (sender, decided) = watch::channel(0);
        let sampler = Sampler { judge: judge.clone(), place: 0, pending: HashMap::new(), decided: sender };
        tokio::spawn(sampler.run(sinks));
        Self { judge, decided }
    }

    /// The place up to which everything is decided, and later ones.
    pub(crate) fn decided(&self) -> watch::Receiver<u64> {
        self.decided.clone()
    }

    /// How many each of these traces stands for, 0 for those that do not go on. Where the decision is forgotten it is made again.
    pub(crate) async fn rates(&self, trace_ids: BTreeSet<TraceId>) -> Result<HashMap<TraceId, u64>, StoreError> {
        let mut rates = self.judge.outbox.rates(trace_ids.iter().copied().collect()).await?;
        let missing: Vec<_> = trace_ids.into_iter().filter(|trace_id| !rates.contains_key(trace_id)).collect();
        rates.extend(self.judge.decide(&missing).await?);
        Ok(rates)
    }
}

impl Judge {
    /// Decides about traces by what is stored of them now.
    async fn decide(&self, trace_ids: &[TraceId]) -> Result<HashMap<TraceId, u64>, StoreError> {
        let mut rates = HashMap::with_capacity(trace_ids.len());
        for some in trace_ids.chunks(WRITE) {
            let mut decisions = Vec::with_capacity(some.len());
            for trace_id in some {
                let (spans, records) = (self.store.trace(*trace_id).await?, self.store.trace_logs(*trace_id).await?);
                decisions.push((*trace_id, self.rule.rate(*trace_id, &spans, &records)));
            }
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
    judge: Judge,
    /// What is read.
    place: u64,
    pending: HashMap<TraceId, Pending>,
    decided: watch::Sender<u64>,
}

impl Sampler {
    async fn run(mut self, sinks: Vec<String>) {
        while let Err(error) = self.begin(&sinks).await {
            if self.failed(&error).await.is_err() {
                return;
            }
        }
        loop {
            // Before the read: what is committed after it wakes us.
            let mut committed = self.judge.store.commits();
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

    async fn begin(&mut self, sinks: &[String]) -> Result<(), StoreError> {
        let mut earliest = u64::MAX;
        for sink in sinks {
            earliest = earliest.min(self.judge.store.cursor(sink).await?);
        }
        self.place = if sinks.is_empty() { 0 } else { earliest };
        self.decided.send_replace(self.place);
        Ok(())
    }

    /// Reads on, and decides what is due; whether there may be more to read.
    async fn round(&mut self) -> Result<bool, StoreError> {
        let batch = self.judge.store.after(self.place, READ).await?;
        let more = !batch.is_empty();
        self.note(&batch).await?;
        self.decide_due().await?;
        let first_pending = self.pending.values().map(|pending| pending.first_place).min();
        let decided = first_pending.map_or(self.place, |place| place - 1);
        self.decided.send_if_modified(|known| std::mem::replace(known, decided) != decided);
        if !more {
            let before_s = now_s().saturating_sub(self.judge.rule.remember.as_secs());
            self.judge.outbox.forget_decisions(before_s).await?;
        }
        Ok(more)
    }

    async fn note(&mut self, batch: &[(u64, Span)]) -> Result<(), StoreError> {
        let Some((last_place, _)) = batch.last() else { return Ok(()) };
        let unknown: BTreeSet<TraceId> =
            batch.iter().map(|(_, span)| span.trace_id).filter(|id| !self.pending.contains_key(id)).collect();
        let decided = self.judge.outbox.rates(unknown.into_iter().collect()).await?;
        let now = Instant::now();
        for (place, span) in batch {
            match self.pending.entry(span.trace_id) {
                Entry::Occupied(mut known) => known.get_mut().last = now,
                // What comes late goes where the rest of it went.
                Entry::Vacant(_) if decided.contains_key(&span.trace_id) => {}
                Entry::Vacant(new) => {
                    new.insert(Pending { first_place: *place, since: now, last: now });
                }
            }
        }
        self.place = *last_place;
        Ok(())
    }

    async fn decide_due(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let due_at = |pending: &Pending| self.due_at(pending);
        let mut due: Vec<_> = self.pending.iter().map(|(trace_id, pending)| (due_at(pending), *trace_id)).collect();
        let too_many = due.len().saturating_sub(MOST_PENDING);
        due.sort_unstable();
        let on_time = due.partition_point(|(at, _)| *at <= now);
        due.truncate(on_time.max(too_many));
        for some in due.chunks(WRITE) {
            let trace_ids: Vec<_> = some.iter().map(|(_, trace_id)| *trace_id).collect();
            self.judge.decide(&trace_ids).await?;
            for trace_id in trace_ids {
                self.pending.remove(&trace_id);
            }
        }
        Ok(())
    }

    fn due_at(&self, pending: &Pending) -> Instant {
        let rule = &self.judge.rule;
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
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
