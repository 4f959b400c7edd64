//! What waits to be sent, and what is to be done next about it. Nothing here sends: the page's side does as it is told, and
//! says what came of it.

use crate::{
    attributes::Attributes,
    protobuf,
    record::{Origin, Signal, add_attributes},
    session::SessionId,
    summary::Status,
};

const FIRST_RETRY_MS: f64 = 1_000.0;
const LAST_RETRY_MS: f64 = 60_000.0;
/// A `Retry-After` is honoured up to this.
const LONGEST_WAIT_MS: f64 = 300_000.0;
/// More than this waits in a page of its own accord never, bytes.
const MAX_QUEUE_BYTES: usize = 4 << 20;
/// A request that is not under pressure is not larger than this, bytes: what receivers take at the least.
const MAX_REQUEST_BYTES: usize = 512 << 10;

/// A record, encoded, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) session: SessionId,
    pub(crate) body: Vec<u8>,
}

/// Records of one signal and one session, to go in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) signal: Signal,
    pub(crate) session: SessionId,
    pub(crate) records: Vec<Record>,
    /// What its answer is told by, if it was sent while the page went away,
    pub(crate) number: u32,
    /// and how many bytes it was then.
    pub(crate) bytes: usize,
}

impl Batch {
    pub(crate) const fn new(signal: Signal, session: SessionId, records: Vec<Record>) -> Self {
        Self { signal, session, records, number: 0, bytes: 0 }
    }

    pub(crate) fn request(&self, origin: &Origin) -> Vec<u8> {
        origin.request(self.records.iter().map(|record| record.body.as_slice()))
    }
}

/// What a receiver lets records in for: it is for one session, and not for long.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IngestToken {
    pub(crate) session: SessionId,
    pub(crate) text: String,
    /// Unix milliseconds.
    pub(crate) expires_ms: f64,
}

/// Ingest tokens of so many sessions are kept: this one's, and those of what earlier ones left.
const MAX_INGEST_TOKENS: usize = 4;

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, until something is pushed or answered.
    Rest,
    /// Come again when it is [due](Delivery::due_ms).
    Wait,
    /// Ask for an ingest token for this session, and say [`Delivery::ingest_token`].
    RequestIngestToken(SessionId),
    /// Send what is [under way](Delivery::under_way), and say [`Delivery::answered`].
    Send,
}

/// What a receiver said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The status code; `None` if nothing came back.
    pub(crate) status: Option<u16>,
    /// `Retry-After`, seconds.
    pub(crate) retry_after_s: Option<f64>,
}

/// What that means for a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Accepted,
    NoIngestToken(Status),
    /// It will never be accepted.
    Refused(Status),
    /// It may be accepted later, not before so many milliseconds if the receiver said so.
    Later(Status, Option<f64>),
}

impl Answer {
    fn outcome(self) -> Outcome {
        let Some(status) = self.status else {
            return Outcome::Later(Status::Unreachable(None), None);
        };
        match status {
            200..=299 => Outcome::Accepted,
            401 => Outcome::NoIngestToken(Status::Refused(status)),
            408 | 429 | 502..=504 => {
                let wait_ms = self.retry_after_s.map(|seconds| seconds * 1_000.0);
                Outcome::Later(Status::Unreachable(Some(status)), wait_ms)
            }
            _ => Outcome::Refused(Status::Refused(status)),
        }
    }
}

/// Two bounded queues, one request under way at a time, retries.
#[derive(Debug)]
pub(crate) struct Delivery {
    traces: Vec<Record>,
    logs: Vec<Record>,
    bytes: usize,
    max_records: usize,
    max_batch: usize,
    under_way: Option<Batch>,
    /// Whether an ingest token is needed at all.
    ingest_tokened: bool,
    /// The ingest tokens that are at hand.
    ingest_tokens: [Option<IngestToken>; MAX_INGEST_TOKENS],
    /// Counts what was under way, so that an answer that comes late is not taken for another's.
    attempt: u32,
    /// Whether the batch under way was refused its ingest token before.
    second_try: bool,
    /// When what waits is to be sent, page milliseconds.
    due_ms: f64,
    /// The same for what came last: what a full batch leaves behind waits until then for company.
    last_due_ms: f64,
    /// Before this the receiver wants to hear nothing.
    not_before_ms: f64,
    backoff_ms: f64,
    dropped: u64,
}

impl Delivery {
    pub(crate) const fn new(max_records: usize, max_batch: usize, ingest_tokened: bool) -> Self {
        Self {
            traces: Vec::new(),
            logs: Vec::new(),
            bytes: 0,
            max_records,
            max_batch,
            under_way: None,
            ingest_tokened,
            ingest_tokens: [const { None }; MAX_INGEST_TOKENS],
            attempt: 0,
            second_try: false,
            due_ms: f64::INFINITY,
            last_due_ms: f64::INFINITY,
            not_before_ms: 0.0,
            backoff_ms: 0.0,
            dropped: 0,
        }
    }

    const fn queue(&mut self, signal: Signal) -> &mut Vec<Record> {
        match signal {
            Signal::Traces => &mut self.traces,
            Signal::Logs => &mut self.logs,
        }
    }

    /// Takes a record, to be sent at `due_ms`, or when the one that came last by then is due if a full batch goes before. The
    /// oldest stay; what does not fit is dropped and counted.
    pub(crate) fn push(&mut self, signal: Signal, record: Record, due_ms: f64) {
        if self.waiting() >= self.max_records || self.bytes + record.body.len() > MAX_QUEUE_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += record.body.len();
        self.queue(signal).push(record);
        self.last_due_ms = due_ms;
        self.due_ms = if self.waiting() >= self.max_batch { 0.0 } else { self.due_ms.min(due_ms) };
    }

    /// Sends all that waits, now.
    pub(crate) const fn hurry(&mut self) {
        self.due_ms = 0.0;
        self.last_due_ms = 0.0;
    }

    /// Forgets what the receiver wanted: the network is there again.
    pub(crate) const fn forget_backoff(&mut self) {
        self.not_before_ms = 0.0;
        self.backoff_ms = 0.0;
        self.hurry();
    }

    /// When [`next`](Self::next) has something to do, page milliseconds; `None` before something is pushed or answered.
    pub(crate) fn due_ms(&self) -> Option<f64> {
        (self.under_way.is_none() && self.waiting() > 0).then(|| self.due_ms.max(self.not_before_ms))
    }

    /// What is to be done at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: f64) -> Step {
        if self.under_way.is_some() {
            return Step::Rest;
        }
        if self.waiting() == 0 {
            self.due_ms = f64::INFINITY;
            return Step::Rest;
        }
        if now_ms < self.due_ms.max(self.not_before_ms) {
            return Step::Wait;
        }
        let signal = if self.traces.is_empty() { Signal::Logs } else { Signal::Traces };
        let Some(batch) = self.take(signal, self.max_batch, MAX_REQUEST_BYTES) else { return Step::Rest };
        // Each request costs the page more than its records do: those that are left are no batch yet.
        if self.waiting() < self.max_batch {
            self.due_ms = self.last_due_ms;
        }
        let session = batch.session;
        self.under_way = Some(batch);
        self.attempt = self.attempt.wrapping_add(1);
        if self.is_admitted(session, 0.0) { Step::Send } else { Step::RequestIngestToken(session) }
    }

    /// The oldest records of a signal that are of one session: so many, and at most so many bytes, but one at least.
    fn take(&mut self, signal: Signal, max_records: usize, max_bytes: usize) -> Option<Batch> {
        let queue = self.queue(signal);
        let session = queue.first()?.session;
        let (mut bytes, mut framed, mut count) = (0, 0, 0);
        for record in queue.iter() {
            framed += protobuf::framed_len(record.body.len());
            if count >= max_records || record.session != session || (count > 0 && framed > max_bytes) {
                break;
            }
            bytes += record.body.len();
            count += 1;
        }
        let rest = queue.split_off(count);
        let records = std::mem::replace(queue, rest);
        self.bytes -= bytes;
        Some(Batch::new(signal, session, records))
    }

    /// The number of what is under way; an answer with another comes too late.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What is being sent.
    pub(crate) const fn under_way(&self) -> Option<&Batch> {
        self.under_way.as_ref()
    }

    /// The ingest token for a session, if there is one at hand.
    pub(crate) fn ingest_token_for(&self, session: SessionId) -> Option<&IngestToken> {
        self.ingest_tokens.iter().flatten().find(|ingest_token| ingest_token.session == session)
    }

    /// Whether records of a session can be sent as they are: they need no ingest token, or one is at hand that is good at
    /// `wall_ms` (Unix milliseconds).
    pub(crate) fn is_admitted(&self, session: SessionId, wall_ms: f64) -> bool {
        !self.ingest_tokened || self.ingest_token_for(session).is_some_and(|ingest_token| ingest_token.expires_ms > wall_ms)
    }

    /// Keeps an ingest token, in the place of the oldest.
    pub(crate) fn set_ingest_token(&mut self, ingest_token: IngestToken) {
        self.forget_ingest_token(ingest_token.session);
        self.ingest_tokens.rotate_right(1);
        self.ingest_tokens[0] = Some(ingest_token);
    }

    fn forget_ingest_token(&mut self, session: SessionId) {
        for ingest_token in &mut self.ingest_tokens {
            if ingest_token.as_ref().is_some_and(|ingest_token| ingest_token.session == session) {
                *ingest_token = None;
            }
        }
    }

    /// An ingest token came, or none: then `answer` is what came instead.
    ///
    /// What is under way is to be sent afterwards, if there still is [something](Self::under_way).
    pub(crate) fn ingest_token(&mut self, ingest_token: Option<(String, f64)>, answer: Answer, now_ms: f64) -> Option<Status> {
        let batch = self.under_way.take()?;
        if let Some((text, expires_ms)) = ingest_token {
            self.set_ingest_token(IngestToken { session: batch.session, text, expires_ms });
            self.under_way = Some(batch);
            return None;
        }
        let outcome = match answer.outcome() {
            // Something else than an ingest token.
            Outcome::Accepted => Outcome::Refused(Status::Refused(answer.status.unwrap_or(0))),
            outcome => outcome,
        };
        self.settle(batch, outcome, now_ms)
    }

    /// What was under way has been answered.
    pub(crate) fn answered(&mut self, answer: Answer, now_ms: f64) -> Option<Status> {
        let batch = self.under_way.take()?;
        let mut outcome = answer.outcome();
        if let Outcome::NoIngestToken(status) = &outcome {
            let again = self.ingest_tokened && !self.second_try;
            // Once with a fresh one; if that is not good either, the receiver means it.
            outcome = if again { Outcome::Later(*status, Some(0.0)) } else { Outcome::Refused(*status) };
            self.forget_ingest_token(batch.session);
            self.second_try = again;
            if again {
                self.put_back(batch);
                self.due_ms = now_ms;
                return None;
            }
        }
        self.second_try = false;
        self.settle(batch, outcome, now_ms)
    }

    /// What was sent while the page went away has been answered after all.
    pub(crate) fn answered_late(&mut self, batch: Batch, answer: Answer, now_ms: f64) -> Option<Status> {
        let mut outcome = answer.outcome();
        if let Outcome::NoIngestToken(status) = outcome {
            self.forget_ingest_token(batch.session);
            outcome = Outcome::Later(status, None);
        }
        self.settle(batch, outcome, now_ms)
    }

    fn settle(&mut self, batch: Batch, outcome: Outcome, now_ms: f64) -> Option<Status> {
        match outcome {
            Outcome::Accepted => {
                self.backoff_ms = 0.0;
                Some(Status::Ok)
            }
            Outcome::Refused(status) | Outcome::NoIngestToken(status) => {
                self.dropped += batch.records.len() as u64;
                self.backoff_ms = 0.0;
                Some(status)
            }
            Outcome::Later(status, asked_ms) => {
                self.put_back(batch);
                #[expect(clippy::manual_clamp, reason = "it would bring what prints a number when it panics")]
                let backoff_ms = (self.backoff_ms * 2.0).max(FIRST_RETRY_MS).min(LAST_RETRY_MS);
                self.backoff_ms = backoff_ms;
                let wait_ms = asked_ms.unwrap_or(0.0).max(self.backoff_ms).min(LONGEST_WAIT_MS);
                self.not_before_ms = now_ms + wait_ms;
                self.due_ms = now_ms;
                Some(status)
            }
        }
    }

    /// Puts records that could not be sent back at the front; what no longer fits is dropped from their end.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        let mut records = batch.records;
        let room = self.max_records.saturating_sub(self.waiting());
        self.dropped += records.len().saturating_sub(room) as u64;
        records.truncate(room);
        for record in &records {
            self.bytes += record.body.len();
        }
        let queue = self.queue(batch.signal);
        records.append(queue);
        *queue = records;
    }

    /// The next batch that is to go while the page does, none larger than `limit_bytes` as a request, unless it is one record.
    /// What is under way goes again, because it may not survive the page, and the receiver keeps each record once.
    pub(crate) fn take_next(&mut self, origin: &Origin, limit_bytes: usize) -> Option<Batch> {
        if let Some(batch) = self.under_way.take() {
            self.attempt = self.attempt.wrapping_add(1);
            self.put_back(batch);
        }
        let room = limit_bytes.saturating_sub(origin.overhead_bytes());
        let signal = if self.traces.is_empty() { Signal::Logs } else { Signal::Traces };
        self.take(signal, usize::MAX, room)
    }

    /// Adds attributes to all of a session that waits and lacks `key`; what is under way has gone.
    pub(crate) fn describe_waiting(&mut self, session: SessionId, attributes: &Attributes, key: &str) {
        // As a field `key` begins: no other text that has it inside does.
        let mut field = Vec::new();
        protobuf::bytes(&mut field, 1, key.as_bytes());
        for signal in Signal::ALL {
            let mut more = 0;
            for record in self.queue(signal).iter_mut() {
                if record.session != session || record.body.windows(field.len()).any(|bytes| bytes == field) {
                    continue;
                }
                let before = record.body.len();
                add_attributes(&mut record.body, signal, attributes);
                more += record.body.len() - before;
            }
            self.bytes += more;
        }
    }

    pub(crate) const fn count_dropped(&mut self, records: usize) {
        self.dropped += records as u64;
    }

    /// How many records wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.traces.len() + self.logs.len()
    }

    /// How many records were lost since the page began.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
