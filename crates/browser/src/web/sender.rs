//! Performs the steps of the [`Delivery`](crate::delivery::Delivery): requests to the receiver, timers and storage.

use throughline_context::ingest_token;
use wasm_bindgen::JsValue;

use super::{
    STATUS, Tracer,
    js::{self, Name, Tag},
    platform,
};
use crate::{
    delivery::{Answer, Batch, Step},
    record::Signal,
    session::{SessionId, number, push_hex},
    summary::Status,
};

const CONTENT_TYPE: &str = "application/x-protobuf";
#[cfg(feature = "offline")]
const UNSENT_KEY: &str = "throughline:unsent";
/// The maximum size of keepalive bodies in flight. The browser permits 64 KiB for a page, including its own headers.
const KEEPALIVE_LIMIT_BYTES: usize = 60_000;

impl Tracer {
    /// Sets a timer for the next due time of the delivery.
    pub(super) fn schedule(&mut self) {
        let now_ms = self.timeline.page_ms();
        // An overdue timer may be lost; a second one does no harm.
        let is_late = self.wake_ms < now_ms;
        if let Some(due_ms) =
            self.delivery.due_ms().map(|due_ms| due_ms.max(now_ms)).filter(|due_ms| is_late || *due_ms < self.wake_ms)
        {
            self.wake_ms = if js::after(due_ms - now_ms, Tag::Flush, 0) { due_ms } else { f64::INFINITY };
        }
    }

    /// Handles that timer.
    pub(super) fn on_flush_timer(&mut self) {
        self.wake_ms = f64::INFINITY;
        self.drain();
        self.pump();
    }

    /// Handles `online`: the network is available again.
    pub(super) fn online(&mut self) {
        self.delivery.forget_backoff();
        self.pump();
    }

    /// Performs the next step of the delivery.
    pub(super) fn pump(&mut self) {
        match self.delivery.next(self.timeline.page_ms()) {
            Step::Rest => {}
            Step::Wait => self.schedule(),
            Step::RequestIngestToken(session) => self.ask_ingest_token(session),
            Step::Send => self.send(),
        }
    }

    /// Sends the batch in flight.
    fn send(&mut self) {
        let Some(batch) = self.delivery.in_flight() else { return };
        let promise = self.post(batch, &js::bytes(&batch.request(&self.origin)), false);
        self.await_answer(&promise, Tag::Sent, self.delivery.attempt());
    }

    /// Calls back with the response or the error of a request; returns whether it will.
    fn await_answer(&mut self, promise: &JsValue, tag: Tag, number: u32) -> bool {
        let function = js::function(tag, number);
        let awaited = js::then(promise, &function, &function).is_object();
        if !awaited && tag == Tag::Sent {
            self.delivered(number, &JsValue::UNDEFINED);
        }
        awaited
    }

    fn post(&self, batch: &Batch, body: &JsValue, keepalive: bool) -> JsValue {
        let headers = js::empty();
        js::set_named(&headers, "content-type", &CONTENT_TYPE.into());
        for (name, value) in &self.config.headers {
            js::set_named(&headers, name, &value.into());
        }
        if let Some(ingest_token) = self.delivery.ingest_token_for(batch.session) {
            js::set_named(&headers, ingest_token::HEADER, &(&ingest_token.text).into());
        }
        self.request(&self.url(batch.signal), &headers, body, keepalive)
    }

    fn url(&self, signal: Signal) -> String {
        let mut url = self.config.endpoint.clone();
        url.push_str(signal.path());
        url
    }

    /// Sends a request with the original `fetch`, which is not traced.
    fn request(&self, url: &str, headers: &JsValue, body: &JsValue, keepalive: bool) -> JsValue {
        let init = js::object(Name::Headers, headers);
        js::set(&init, Name::Method, &"POST".into());
        js::set(&init, Name::Body, body);
        js::set(&init, Name::Keepalive, &keepalive.into());
        // default: undefined is not a promise, and counts as no response
        js::apply(&self.fetch, &self.window, &js::list(&[&url.into(), &init])).unwrap_or_default()
    }

    /// Handles the response to a batch, or its absence.
    pub(super) fn delivered(&mut self, attempt: u32, response: &JsValue) {
        if attempt != self.delivery.attempt() {
            return;
        }
        let status = self.delivery.answered(answer(response), self.timeline.page_ms());
        Self::settled(status);
        self.pump();
    }

    fn settled(status: Option<Status>) {
        if let Some(status) = status {
            STATUS.replace(status);
        }
    }

    /// Requests an ingest token for a session from the receiver.
    fn ask_ingest_token(&mut self, session: SessionId) {
        let mut body = String::from("{\"session_id\":\"");
        push_hex(&mut body, &session.to_hex());
        body.push_str("\"}");
        let headers = js::empty();
        js::set_named(&headers, "content-type", &"application/json".into());
        let endpoint = self.config.ingest_token_endpoint.as_deref().unwrap_or("");
        let promise = self.request(endpoint, &headers, &body.into(), false);
        let received = js::then(&promise, &js::function(Tag::IngestTokenReceived, 0), &JsValue::UNDEFINED);
        let attempt = self.delivery.attempt();
        if !self.await_answer(&received, Tag::IngestTokenRead, attempt) {
            self.ingest_token_read(attempt, &JsValue::UNDEFINED);
        }
    }

    /// Handles the body of the response with an ingest token, or the response itself if it has none, or an error.
    pub(super) fn ingest_token_read(&mut self, attempt: u32, read: &JsValue) {
        if attempt != self.delivery.attempt() {
            return;
        }
        let mut outcome = Answer { status: None, retry_after_s: None };
        let mut ingest_token = None;
        if read.is_object() {
            let expires_ms = self.timeline.wall_ms() + js::number(read, Name::ExpiresInS) * 1_000.0;
            ingest_token = js::text(read, Name::IngestToken).map(|text| (text, expires_ms));
            outcome = answer(read);
        }
        let received = ingest_token.is_some();
        let status = self.delivery.ingest_token(ingest_token, outcome, self.timeline.page_ms());
        Self::settled(status);
        if received {
            self.send();
        } else {
            self.pump();
        }
    }

    /// Sends all records now, in requests that outlive the page. If `gone`, the page is being closed, and records that
    /// cannot be sent are stored for the next page.
    pub(super) fn send_all(&mut self, gone: bool) {
        let mut left_bytes = KEEPALIVE_LIMIT_BYTES;
        for exiting in &self.exiting {
            left_bytes = left_bytes.saturating_sub(exiting.bytes);
        }
        let reachable = !gone || !(platform::is_offline() || matches!(STATUS.get(), Status::Unreachable(_)));
        let wall_ms = self.timeline.wall_ms();
        #[cfg(feature = "offline")]
        // default: nothing is stored yet
        let mut kept = if gone { platform::stored(UNSENT_KEY).unwrap_or_default() } else { String::new() };
        #[cfg(feature = "offline")]
        let kept_before = kept.len();
        let mut stays = Vec::new();
        while let Some(mut batch) = self.delivery.take_next(&self.origin, KEEPALIVE_LIMIT_BYTES) {
            let request = batch.request(&self.origin);
            batch.bytes = request.len();
            if reachable
                && batch.bytes <= left_bytes
                && self.delivery.is_admitted(batch.session, wall_ms)
                && let Some(number) = self.send_one(&batch, &request)
            {
                left_bytes -= batch.bytes;
                if number != 0 {
                    batch.number = number;
                    self.exiting.push(batch);
                }
                continue;
            }
            #[cfg(feature = "offline")]
            if gone && self.config.offline {
                let lost = crate::offline::store(&mut kept, &batch);
                self.delivery.count_dropped(lost);
                continue;
            }
            stays.push(batch);
        }
        for batch in stays.into_iter().rev() {
            self.delivery.put_back(batch);
        }
        #[cfg(feature = "offline")]
        if kept.len() > kept_before {
            platform::store(UNSENT_KEY, &kept);
        }
        self.delivery.make_due();
        self.schedule();
    }

    /// Sends a batch. If the browser accepted it, returns the number that identifies its response, or 0 if there will
    /// be none.
    fn send_one(&mut self, batch: &Batch, request: &[u8]) -> Option<u32> {
        let body = js::bytes(request);
        let number = self.number();
        // Without `keepalive`, a request is cancelled with its page.
        if !js::get(&js::new(Name::RequestClass, &[&"".into()]), Name::Keepalive).is_undefined() {
            let promise = self.post(batch, &body, true);
            if self.await_answer(&promise, Tag::SentAtExit, number) {
                return Some(number);
            }
        }
        // A beacon has no headers, and its response is not available.
        let mut url = self.url(batch.signal);
        if let Some(ingest_token) = self.delivery.ingest_token_for(batch.session) {
            url.push_str("?ingest_token=");
            url.push_str(&ingest_token.text);
        }
        let kind = js::object(Name::Type, &CONTENT_TYPE.into());
        let blob = js::new(Name::Blob, &[&js::list(&[&body]), &kind]);
        js::call(&platform::navigator(), Name::Beacon, &[&url.into(), &blob]).is_truthy().then_some(0)
    }

    /// Handles the response or error of a batch that was sent while the page was hidden or closing, if the page still
    /// exists.
    pub(super) fn delivered_at_exit(&mut self, number: u32, response: &JsValue) {
        let Some(index) = self.exiting.iter().position(|one| one.number == number) else { return };
        let batch = self.exiting.swap_remove(index);
        let status = self.delivery.answered_late(batch, answer(response), self.timeline.page_ms());
        Self::settled(status);
        self.schedule();
    }

    #[cfg(feature = "offline")]
    /// Queues records that earlier pages could not send.
    pub(super) fn restore(&mut self) {
        if !self.config.offline {
            return;
        }
        let Some(text) = platform::take_stored(UNSENT_KEY) else { return };
        let due_ms = self.timeline.page_ms() + f64::from(self.config.flush_interval_ms);
        for (signal, record) in crate::offline::restore(&text) {
            self.delivery.push(signal, record, due_ms);
        }
        self.schedule();
    }
}

/// Reads status and `Retry-After` of a response, if it is one.
fn answer(response: &JsValue) -> Answer {
    let status = if response.is_object() { js::number(response, Name::Status) } else { 0.0 };
    if status <= 0.0 {
        return Answer { status: None, retry_after_s: None };
    }
    let retry_after = js::call(&js::get(response, Name::Headers), Name::Get, &[&"retry-after".into()]).as_string();
    let seconds = retry_after.and_then(|text| number(&text));
    Answer { status: Some(status as u16), retry_after_s: seconds.map(|seconds| seconds as f64) }
}

/// Returns the JSON body of a response with an ingest token, or the response itself if its status is an error.
pub(super) fn ingest_token_received(response: JsValue) -> JsValue {
    if js::is(&response, Name::Ok) { js::call(&response, Name::Json, &[]) } else { response }
}
