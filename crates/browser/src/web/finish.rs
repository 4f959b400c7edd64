//! Completion of requests: matches them with the browser's timing and records their spans.

use throughline_context::{UrlParts, keys};
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM};
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    active::{Active, ActiveKind, TIMER_MS},
    fetch::describe_status,
    js::{self, Name, Tag},
    listeners::SUMMARIZE,
    observer::{self, Entry},
};
use crate::{
    clock::unix_ns,
    measure::measure,
    record::Span,
    request::{Candidate, best_match, may_match, protocol_version},
};

/// The time after the head of a response after which a request is recorded as unfinished, milliseconds: its body is
/// streaming, or is not read and therefore has no timing.
const LONGEST_BODY_MS: f64 = 60_000.0;

/// Returns whether a request can be completed: its end is known, and its timing if the browser reports any.
const fn is_ready(call: &Active, has_request_timing: bool) -> bool {
    let is_known = call.ended_ms > 0.0 || (!call.by_program && call.head_ms > 0.0);
    is_known && (call.entry.is_some() || !has_request_timing)
}

impl Tracer {
    /// Completes a request if its end and its timing are known.
    pub(super) fn complete_if_ready(&mut self, number: u32) {
        let has_timing = self.has_request_timing;
        let Some(call) = self.find(number) else { return };
        let is_over = call.ended_ms > 0.0;
        if is_ready(call, has_timing) {
            self.complete(number);
        } else {
            self.give_up_later();
            if is_over {
                // The entry may be pending; otherwise the observer is called when it is available.
                self.drain();
            }
        }
    }

    /// Matches an entry with its request, if that is traced.
    ///
    /// The server may return the id of the client's span, which identifies the request even if the same URL is fetched
    /// several times at once. Otherwise the times decide.
    pub(super) fn matched(&mut self, timing: &JsValue) {
        let Some(url) = js::text(timing, Name::NameOf) else { return };
        let start_ms = js::number(timing, Name::StartTime);
        // The entries include our own deliveries and the page's scripts, so cheap tests come first.
        let is_open = |call: &Active| {
            call.kind == ActiveKind::Request
                && call.entry.is_none()
                && call.url == url
                && may_match(call.start_ms, start_ms)
        };
        if !self.active.iter().any(is_open) {
            return;
        }
        let mut entry = Entry::read(timing);
        let client_span = entry.server.as_ref().and_then(|server| server.client_span.as_deref());
        let named = client_span.and_then(|id| {
            let is_named = |call: &&Active| is_open(call) && call.span.context.span_id.to_hex() == *id.as_bytes();
            self.active.iter().find(is_named).map(|call| call.number)
        });
        if named.is_none() && entry.is_from_cache {
            // The server's times are those of an earlier request.
            entry.server = None;
        }
        let number = named.or_else(|| {
            let candidates = self.active.iter().filter(|call| is_open(call));
            let candidates = candidates.map(|call| Candidate {
                number: call.number,
                start_ms: call.start_ms,
                head_ms: call.head_ms,
            });
            best_match(candidates, start_ms, entry.head_ms(), entry.end_ms())
        });
        if let Some(number) = number
            && let Some(call) = self.find(number)
        {
            call.entry = Some(entry);
            self.complete_if_ready(number);
        }
    }

    /// Completes requests that ended before `before_ms` and have no timing.
    pub(super) fn give_up(&mut self, before_ms: f64) {
        let is_stale = |call: &&Active| call.ended_ms > 0.0 && call.ended_ms <= before_ms;
        while let Some(number) = self.active.iter().find(is_stale).map(|call| call.number) {
            self.complete(number);
        }
    }

    /// Sets a timer that completes requests without timing after a flush interval.
    fn give_up_later(&mut self) {
        let (now_ms, delay_ms) = (self.timeline.page_ms(), f64::from(self.config.flush_interval_ms));
        if self.gives_up_ms <= now_ms && js::after(delay_ms, Tag::GiveUp, 0) {
            self.gives_up_ms = now_ms + delay_ms + TIMER_MS;
        }
    }

    /// Handles that timer: completes requests whose timing is overdue.
    pub(super) fn on_give_up_timer(&mut self) {
        self.gives_up_ms = 0.0;
        self.drain();
        let now_ms = self.timeline.page_ms();
        let before_ms = now_ms - f64::from(self.config.flush_interval_ms) / 2.0;
        self.give_up(before_ms);
        let mut again = false;
        for index in 0..self.active.len() {
            let Some(call) = self.active.get_mut(index) else { break };
            again |= call.ended_ms > 0.0;
            if call.head_ms > 0.0 && !call.by_program {
                if call.ended_ms <= 0.0 {
                    if js::is(&call.signal, Name::Aborted) {
                        call.ended_ms = now_ms;
                    } else if call.head_ms + LONGEST_BODY_MS < now_ms {
                        call.ended_ms = call.head_ms;
                        call.span.attributes.bool(keys::UNFINISHED, true);
                    }
                }
                again = true;
                if call.head_ms <= before_ms {
                    // The body may stream for hours, or never be read: the scope does not wait for it.
                    let scope = std::mem::replace(&mut call.scope, 0);
                    self.child_ended(scope);
                }
            }
        }
        if again {
            self.give_up_later();
        }
    }

    /// Records a request with the information known so far.
    pub(super) fn complete(&mut self, number: u32) {
        let Some(mut call) = self.take(number) else { return };
        let mut end_ms = call.ended_ms;
        if end_ms <= 0.0 {
            // If the browser has the whole body before the program receives the head, the request ends with the head.
            end_ms = call.start_ms.max(call.head_ms).max(call.entry.as_ref().map_or(0.0, Entry::end_ms));
        }
        self.finish(&mut call, end_ms, true);
    }

    /// Records the span of a request that is known only from the performance timeline: the document, or a resource of
    /// it. `announced` is whether listeners receive a summary.
    pub(super) fn finish_entry(&mut self, span: Span, entry: Entry, announced: bool) {
        let number = self.follow(ActiveKind::Request, span, 0);
        let Some(mut call) = self.take(number) else { return };
        call.url = js::word(&entry.timing, Name::NameOf);
        call.span.attributes.text("http.request.method", "GET");
        self.describe_url(&mut call.span, &call.url, &UrlParts::of(&call.url));
        describe_status(&mut call.span, entry.number(Name::ResponseStatus));
        let end_ms = entry.end_ms();
        call.entry = Some(entry);
        self.finish(&mut call, end_ms, announced);
    }

    fn finish(&mut self, call: &mut Active, end_ms: f64, announced: bool) {
        let Active { span, anchor_ms, entry, .. } = call;
        span.end_ns = unix_ns(*anchor_ms, end_ms).max(span.start_ns);
        let timing = entry.as_ref().map(|entry| entry.timing_ns(*anchor_ms));
        // The `Server-Timing` of a cached response belongs to an earlier request.
        let is_cached = entry.as_ref().is_some_and(|entry| entry.is_from_cache);
        let from_header = call.server_timing.as_deref().filter(|_| !is_cached).and_then(observer::server_times);
        let server = entry.as_ref().and_then(|entry| entry.server.as_ref()).or(from_header.as_ref());
        // A request that began before the clock was set must not affect the current estimate of the server's clock.
        let mut discarded = ClockSync::new(DEFAULT_DRIFT_PPM);
        let same_anchor = anchor_ms.to_bits() == self.timeline.anchor_ms().to_bits();
        let clocks = if same_anchor { &mut self.clocks } else { &mut discarded };
        let measured = measure(span.start_ns, span.end_ns, timing.as_ref(), server, clocks, self.quantum_ns);
        measured.describe(&mut span.attributes);
        if let Some(entry) = entry {
            let version = js::text(&entry.timing, Name::NextHopProtocol);
            span.attributes.text_opt("network.protocol.version", version.as_deref().and_then(protocol_version));
            if entry.body_bytes > 0.0 {
                span.attributes.int("http.response.body.size", entry.body_bytes as i64);
            }
        }
        if announced && let Some(summarize) = SUMMARIZE.get() {
            summarize(call, &measured);
        }
        self.record(&mut call.span);
        self.child_ended(call.scope);
    }
}
