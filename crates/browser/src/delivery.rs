//! The queue of records to send, and the state machine of their delivery. This module does no I/O: the caller performs
//! the [`Step`] that is returned, and passes back its outcome.

use crate::{
    attributes::Attributes,
    protobuf,
    record::{Origin, Signal, add_attributes},
    session::SessionId,
    summary::Status,
};

const FIRST_RETRY_MS: f64 = 1_000.0;
const LAST_RETRY_MS: f64 = 60_000.0;
/// The longest `Retry-After` that is obeyed.
const LONGEST_WAIT_MS: f64 = 300_000.0;
/// The maximum size of waiting records, bytes.
const MAX_QUEUE_BYTES: usize = 4 << 20;
/// The maximum size of the records of a request while the page is open, bytes: receivers accept at least this.
const MAX_REQUEST_BYTES: usize = 512 << 10;

/// An encoded record and its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) session: SessionId,
    pub(crate) body: Vec<u8>,
}

/// Records of one signal and one session, sent in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) signal: Signal,
    pub(crate) session: SessionId,
    pub(crate) records: Vec<Record>,
    /// Identifies the response if the batch was sent while the page was closing.
    pub(crate) number: u32,
    /// The size of that request, bytes.
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

/// A short-lived token that permits sending the records of one session to a receiver.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IngestToken {
    pub(crate) session: SessionId,
    pub(crate) text: String,
    /// Unix milliseconds.
    pub(crate) expires_ms: f64,
}

/// The number of sessions whose ingest tokens are kept: the current one, and those of records that earlier ones left.
const MAX_INGEST_TOKENS: usize = 4;

/// The next action of the caller of [`Delivery::next`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Do nothing until a record is pushed or a response is received.
    Rest,
    /// Call again when the next batch is [due](Delivery::due_ms).
    Wait,
    /// Request an ingest token for this session, then call [`Delivery::ingest_token`].
    RequestIngestToken(SessionId),
    /// Send the batch [in flight](Delivery::in_flight), then call [`Delivery::answered`].
    Send,
}

/// The response of a receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The status code; `None` if there was no response.
    pub(crate) status: Option<u16>,
    /// `Retry-After`, seconds.
    pub(crate) retry_after_s: Option<f64>,
}

/// The consequence of a response for a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Accepted,
    NoIngestToken(Status),
    /// The batch will never be accepted.
    Refused(Status),
    /// The batch may be accepted later; with the delay in milliseconds that the receiver requested, if any.
    Later(Status, Option<f64>),
}

impl Answer {
    fn outcome(self) -> Outcome {
        let Some(status) = self.status else {
            return Outcome::Later(Status::Unreachable(None), None);
        };
        match status {
            200..=299 => Outcome::Accepted,
            401 => Outcome::NoIngestToken(Status::Rejected(status)),
            408 | 429 | 502..=504 => {
                let wait_ms = self.retry_after_s.map(|seconds| seconds * 1_000.0);
                Outcome::Later(Status::Unreachable(Some(status)), wait_ms)
            }
            _ => Outcome::Refused(Status::Rejected(status)),
        }
    }
}

/// Delivery of records: two bounded queues, at most one request in flight, and retries.
#[derive(Debug)]
pub(crate) struct Delivery {
    traces: Vec<Record>,
    logs: Vec<Record>,
    bytes: usize,
    max_records: usize,
    max_batch: usize,
    in_flight: Option<Batch>,
    /// Whether the receiver requires an ingest token.
    requires_token: bool,
    /// The ingest tokens, the newest first.
    ingest_tokens: [Option<IngestToken>; MAX_INGEST_TOKENS],
    /// Counts the batches in flight, so that a late response is not attributed to another batch.
    attempt: u32,
    /// Whether the ingest token of the batch in flight was rejected before.
    second_try: bool,
    /// When the waiting records are due, page milliseconds.
    due_ms: f64,
    /// When the record pushed last is due: records left over by a full batch wait until then.
    last_due_ms: f64,
    /// Nothing is sent before this, page milliseconds: the backoff or `Retry-After`.
    not_before_ms: f64,
    backoff_ms: f64,
    dropped: u64,
}

impl Delivery {
    pub(crate) const fn new(max_records: usize, max_batch: usize, requires_token: bool) -> Self {
        Self {
            traces: Vec::new(),
            logs: Vec::new(),
            bytes: 0,
            max_records,
            max_batch,
            in_flight: None,
            requires_token,
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

    /// Queues a record that is due at `due_ms`; if a full batch is sent before, the records left over are due with the
    /// record pushed last. A record that does not fit is dropped and counted; older ones are kept.
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

    /// Makes all waiting records due now.
    pub(crate) const fn make_due(&mut self) {
        self.due_ms = 0.0;
        self.last_due_ms = 0.0;
    }

    /// Resets the backoff because the network is available again.
    pub(crate) const fn forget_backoff(&mut self) {
        self.not_before_ms = 0.0;
        self.backoff_ms = 0.0;
        self.make_due();
    }

    /// Returns when [`next`](Self::next) is due, page milliseconds; `None` until a record is pushed or a response is
    /// received.
    pub(crate) fn due_ms(&self) -> Option<f64> {
        (self.in_flight.is_none() && self.waiting() > 0).then(|| self.due_ms.max(self.not_before_ms))
    }

    /// Returns what to do at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: f64) -> Step {
        if self.in_flight.is_some() {
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
        // A request costs the page more than its records do, so the records left over wait for a batch.
        if self.waiting() < self.max_batch {
            self.due_ms = self.last_due_ms;
        }
        let session = batch.session;
        self.in_flight = Some(batch);
        self.attempt = self.attempt.wrapping_add(1);
        if self.is_admitted(session, 0.0) { Step::Send } else { Step::RequestIngestToken(session) }
    }

    /// Takes the oldest records of a signal that belong to one session: at most `max_records` and `max_bytes`, but at
    /// least one record.
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

    /// Returns the number of the batch in flight; a response with another number is too late.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the batch in flight.
    pub(crate) const fn in_flight(&self) -> Option<&Batch> {
        self.in_flight.as_ref()
    }

    /// Returns the ingest token for a session, if there is one.
    pub(crate) fn ingest_token_for(&self, session: SessionId) -> Option<&IngestToken> {
        self.ingest_tokens.iter().flatten().find(|token| token.session == session)
    }

    /// Returns whether records of a session can be sent: no ingest token is required, or there is one that is valid at
    /// `wall_ms` (Unix milliseconds).
    pub(crate) fn is_admitted(&self, session: SessionId, wall_ms: f64) -> bool {
        !self.requires_token || self.ingest_token_for(session).is_some_and(|token| token.expires_ms > wall_ms)
    }

    /// Stores an ingest token, replacing the oldest.
    pub(crate) fn set_ingest_token(&mut self, ingest_token: IngestToken) {
        self.forget_ingest_token(ingest_token.session);
        self.ingest_tokens.rotate_right(1);
        self.ingest_tokens[0] = Some(ingest_token);
    }

    fn forget_ingest_token(&mut self, session: SessionId) {
        for ingest_token in &mut self.ingest_tokens {
            if ingest_token.as_ref().is_some_and(|token| token.session == session) {
                *ingest_token = None;
            }
        }
    }

    /// Handles the response to a request for an ingest token: the token and its expiry in Unix milliseconds, or else
    /// `answer`.
    ///
    /// Afterwards the batch [in flight](Self::in_flight), if there still is one, is ready to be sent.
    pub(crate) fn ingest_token(
        &mut self,
        ingest_token: Option<(String, f64)>,
        answer: Answer,
        now_ms: f64,
    ) -> Option<Status> {
        let batch = self.in_flight.take()?;
        if let Some((text, expires_ms)) = ingest_token {
            self.set_ingest_token(IngestToken { session: batch.session, text, expires_ms });
            self.in_flight = Some(batch);
            return None;
        }
        let outcome = match answer.outcome() {
            // The response holds no ingest token.
            Outcome::Accepted => Outcome::Refused(Status::Rejected(answer.status.unwrap_or(0))),
            outcome => outcome,
        };
        self.settle(batch, outcome, now_ms)
    }

    /// Handles the response to the batch in flight.
    pub(crate) fn answered(&mut self, answer: Answer, now_ms: f64) -> Option<Status> {
        let batch = self.in_flight.take()?;
        let mut outcome = answer.outcome();
        if let Outcome::NoIngestToken(status) = &outcome {
            let again = self.requires_token && !self.second_try;
            // Retried once with a new token; if that is rejected too, the batch is refused.
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

    /// Handles the response to a batch that was sent while the page was closing.
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
                #[expect(
                    clippy::manual_clamp,
                    reason = "`clamp` may panic, and its message would add number formatting to the WASM"
                )]
                let backoff_ms = (self.backoff_ms * 2.0).max(FIRST_RETRY_MS).min(LAST_RETRY_MS);
                self.backoff_ms = backoff_ms;
                let wait_ms = asked_ms.unwrap_or(0.0).max(self.backoff_ms).min(LONGEST_WAIT_MS);
                self.not_before_ms = now_ms + wait_ms;
                self.due_ms = now_ms;
                Some(status)
            }
        }
    }

    /// Puts unsent records back at the front of the queue. Those that no longer fit are dropped from their end.
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

    /// Takes the next batch to send while the page is closing. Its request is at most `limit_bytes` long, unless it has
    /// only one record. The batch in flight is sent again, because its request may be cancelled with the page; the
    /// receiver stores each record once.
    pub(crate) fn take_next(&mut self, origin: &Origin, limit_bytes: usize) -> Option<Batch> {
        if let Some(batch) = self.in_flight.take() {
            self.attempt = self.attempt.wrapping_add(1);
            self.put_back(batch);
        }
        let room = limit_bytes.saturating_sub(origin.overhead_bytes());
        let signal = if self.traces.is_empty() { Signal::Logs } else { Signal::Traces };
        self.take(signal, usize::MAX, room)
    }

    /// Adds attributes to the waiting records of a session that lack `key`. The batch in flight is not changed.
    pub(crate) fn describe_waiting(&mut self, session: SessionId, attributes: &Attributes, key: &str) {
        // The encoded field, so that a longer string that contains `key` does not match.
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

    /// Returns the number of waiting records.
    pub(crate) const fn waiting(&self) -> usize {
        self.traces.len() + self.logs.len()
    }

    /// Returns the number of records dropped since the page was opened.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
