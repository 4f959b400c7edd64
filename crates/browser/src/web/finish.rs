//! From a request that has ended to its span, once the browser has told its timing.

use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM, server_timing::ServerTimes};
use wasm_bindgen::JsValue;

use super::{
    MAX_UNHEARD, Tracer,
    active::{Active, What},
    fetch::describe_status,
    js::{self, Name, Tag},
    observer::{self, Entry},
};
use crate::{
    clock::unix_ns,
    measure::{Measured, measure, ms},
    record::Span,
    request::{Candidate, best, may_be, protocol_version},
    session::push_hex,
    summary::RequestSummary,
};

/// Whether all is known of a request that will be: its end and its timing.
const fn is_ready(call: &Active, tells_requests: bool) -> bool {
    let told = call.ended_ms > 0.0 || (!call.by_program && call.head_ms > 0.0);
    told && (call.entry.is_some() || !tells_requests)
}

impl Tracer {
    /// Something became known of a request: if it was the last that was wanted, the request is told of.
    pub(super) fn consider(&mut self, number: u32) {
        let tells = self.tells_requests;
        let Some(call) = self.find(number) else { return };
        if is_ready(call, tells) {
            self.complete(number);
        } else if call.ended_ms > 0.0 {
            // The entry may be there untold; else the observer is called when it is.
            self.give_up_later();
            self.drain();
        }
    }

    /// Gives an entry to the request that it is about, if it is one of ours.
    ///
    /// The server returns the id of the client's span, which decides even when the same URL is fetched many times at once;
    /// without that, the times do.
    pub(super) fn matched(&mut self, timing: &JsValue) {
        let Some(url) = js::text(timing, Name::NameOf) else { return };
        let start_ms = js::number(timing, Name::StartTime);
        let mut open: Vec<&mut Active> = Vec::new();
        for call in &mut self.active {
            // Our own deliveries and the page's scripts are among the entries: cheap tests first.
            let is_open = call.what == What::Request && call.entry.is_none();
            if is_open && call.url == url && may_be(call.start_ms, start_ms) {
                open.push(call);
            }
        }
        if open.is_empty() {
            return;
        }
        let entry = Entry::read(timing);
        let named = entry.server.as_ref().and_then(|server| server.client_span.as_deref());
        let index = match named {
            Some(id) => open.iter().position(|call| call.span.context.span_id.to_hex() == *id.as_bytes()),
            None => {
                let mut candidates = Vec::new();
                for call in &open {
                    candidates.push(Candidate { start_ms: call.start_ms, head_ms: call.head_ms });
                }
                best(&candidates, start_ms, entry.head_ms())
            }
        };
        if let Some(call) = index.and_then(|index| open.into_iter().nth(index)) {
            call.entry = Some(entry);
            let number = call.number;
            self.consider(number);
        }
    }

    /// Completes requests that ended before `before_ms` and whose timing never came.
    pub(super) fn give_up(&mut self, before_ms: f64) {
        let is_stale = |call: &&Active| call.ended_ms > 0.0 && call.ended_ms <= before_ms;
        while let Some(number) = self.active.iter().find(is_stale).map(|call| call.number) {
            self.complete(number);
        }
    }

    /// Looks after an interval at what still has no timing.
    fn give_up_later(&mut self) {
        if !std::mem::replace(&mut self.gives_up, true) {
            js::after(f64::from(self.config.flush_interval_ms), Tag::GiveUp, 0);
        }
    }

    pub(super) fn give_up_in_time(&mut self) {
        self.gives_up = false;
        self.drain();
        self.give_up(self.timeline.page_ms() - f64::from(self.config.flush_interval_ms) / 2.0);
        if self.active.iter().any(|call| call.ended_ms > 0.0) {
            self.give_up_later();
        }
    }

    /// Tells of a request as much as is known.
    pub(super) fn complete(&mut self, number: u32) {
        let Some(call) = self.take(number) else { return };
        let Active { span, anchor_ms, start_ms, head_ms, ended_ms, server_timing, url, entry, scope, .. } = call;
        // A body that the browser has whole before the program asks for its head ends with that.
        let end_ms = if ended_ms > 0.0 {
            ended_ms
        } else {
            start_ms.max(head_ms).max(entry.as_ref().map_or(0.0, Entry::end_ms))
        };
        let told = server_timing.as_deref().and_then(observer::server_times);
        self.finish(span, &url, anchor_ms, end_ms, entry, told, true);
        self.left(scope);
    }

    /// The span of something that the performance timeline alone has seen: the document, or a resource of it.
    pub(super) fn finish_seen(&mut self, mut span: Span, entry: Entry, announced: bool) {
        let url = js::text(&entry.timing, Name::NameOf).unwrap_or_default();
        span.attributes.text("http.request.method", "GET");
        self.describe_url(&mut span, &url, &js::new(Name::UrlClass, &[&(*url).into()]));
        describe_status(&mut span, entry.number(Name::ResponseStatus));
        let anchor_ms = self.timeline.anchor_ms();
        let end_ms = entry.end_ms();
        self.finish(span, &url, anchor_ms, end_ms, Some(entry), None, announced);
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of one request, by two roads")]
    fn finish(
        &mut self,
        mut span: Span,
        url: &str,
        anchor_ms: f64,
        end_ms: f64,
        entry: Option<Entry>,
        told: Option<ServerTimes>,
        announced: bool,
    ) {
        span.end_ns = unix_ns(anchor_ms, end_ms).max(span.start_ns);
        let timing = entry.as_ref().map(|entry| entry.timing_ns(anchor_ms));
        let server = entry.as_ref().and_then(|entry| entry.server.as_ref()).or(told.as_ref());
        // A request that began before the clock was set teaches nothing about the clock as it is now.
        let mut of_then = ClockSync::new(DEFAULT_DRIFT_PPM);
        let is_of_now = anchor_ms.to_bits() == self.timeline.anchor_ms().to_bits();
        let clocks = if is_of_now { &mut self.clocks } else { &mut of_then };
        let measured = measure(span.start_ns, span.end_ns, timing.as_ref(), server, clocks, self.quantum_ns);
        measured.describe(&mut span.attributes);
        if let Some(entry) = &entry {
            let version = js::text(&entry.timing, Name::NextHopProtocol);
            span.attributes.maybe("network.protocol.version", version.as_deref().and_then(protocol_version));
            let bytes = entry.number(Name::EncodedBodySize);
            if bytes > 0.0 {
                span.attributes.int("http.response.body.size", bytes as i64);
            }
        }
        // Whoever listens later is told of the first few.
        if announced && (self.heard || self.summaries.len() < MAX_UNHEARD) {
            self.summaries.push(summary(&span, measured, url));
        }
        self.record(span);
    }
}

fn summary(span: &Span, measured: Measured, url: &str) -> RequestSummary {
    let text = |key| span.attributes.get_text(key);
    let hex = |digits: &[u8]| {
        let mut text = String::new();
        push_hex(&mut text, digits);
        text
    };
    RequestSummary {
        trace_id: hex(&span.context.trace_id.to_hex()),
        span_id: hex(&span.context.span_id.to_hex()),
        method: text("http.request.method").unwrap_or_default(),
        path: js::text(&js::new(Name::UrlClass, &[&url.into()]), Name::Pathname).unwrap_or_default(),
        status: span.attributes.get_int("http.response.status_code").map(|status| status as u16),
        error: text("error.type"),
        start_ms: ms(span.start_ns),
        total_ms: ms(span.end_ns - span.start_ns),
        segments: measured.segments_ms(),
        quality: measured.decomposition.quality.as_str(),
        network: measured.network(),
    }
}
