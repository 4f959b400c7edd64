//! From a request that has ended to its span, once the browser has told its timing.

use std::rc::Rc;

use throughline_context::keys;
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM, server_timing::ServerTimes};

use super::{
    Tracer,
    fetch::Call,
    js::{self, Name, Tag},
    observer::{self, Entry},
};
use crate::{
    attributes::Value,
    clock::unix_ns,
    measure::{Measured, measure, ms},
    record::Span,
    request::{Candidate, Url, best, may_be, protocol_version},
    summary::RequestSummary,
};

/// Something became known of a request: if it was the last that was wanted, the request is told of.
pub(super) fn consider(tracer: &Rc<Tracer>, number: u32) {
    let ready = |calls: &[Call]| calls.iter().position(|call| call.number == number && is_ready(tracer, call));
    // The entry may be there untold; else the observer is called when it is.
    if ready(&tracer.calls.borrow()).is_none() && has_ended(tracer, number) {
        observer::drain(tracer);
    }
    let found = {
        let mut calls = tracer.calls.borrow_mut();
        ready(&calls).map(|index| calls.remove(index))
    };
    match found {
        Some(call) => complete(tracer, call),
        None if has_ended(tracer, number) => give_up_later(tracer),
        None => {}
    }
}

fn has_ended(tracer: &Tracer, number: u32) -> bool {
    tracer.calls.borrow().iter().any(|call| call.number == number && call.ended_ms.is_some())
}

/// Whether all is known that will be: its end and its timing.
fn is_ready(tracer: &Tracer, call: &Call) -> bool {
    let told = call.ended_ms.is_some() || (!call.by_program && call.head_ms.is_some());
    told && (call.entry.is_some() || !tracer.watch.borrow().tells_requests())
}

/// Gives an entry to the request that it is about, if it is one of ours.
///
/// The server returns the id of the client's span, which decides even when the same URL is fetched many times at once;
/// without that, the times do.
pub(super) fn matched(tracer: &Rc<Tracer>, entry: &wasm_bindgen::JsValue) {
    let Some(url) = js::text(entry, Name::NameOf) else { return };
    let start_ms = js::number(entry, Name::StartTime);
    let number = {
        let mut calls = tracer.calls.borrow_mut();
        // Our own deliveries and the page's scripts are among the entries: cheap tests first.
        if !calls.iter().any(|call| call.entry.is_none() && call.url == url && may_be(call.start_ms, start_ms)) {
            return;
        }
        let entry = Entry::read(entry);
        let named = entry.server.as_ref().and_then(|server| server.client_span.as_deref());
        let mut open: Vec<&mut Call> =
            calls.iter_mut().filter(|call| call.entry.is_none() && call.url == url).collect();
        let index = match named {
            Some(span_id) => {
                open.iter().position(|call| call.span.context.span_id.to_hex().as_slice() == span_id.as_bytes())
            }
            None => {
                let candidates: Vec<_> =
                    open.iter().map(|call| Candidate { start_ms: call.start_ms, head_ms: call.head_ms }).collect();
                best(&candidates, start_ms, entry.head_ms())
            }
        };
        let Some(call) = index.and_then(|index| open.get_mut(index)) else { return };
        call.entry = Some(entry);
        call.number
    };
    consider(tracer, number);
}

/// Completes requests that ended before `before_ms` and whose timing never came.
pub(super) fn give_up(tracer: &Rc<Tracer>, before_ms: f64) {
    loop {
        let stale = {
            let mut calls = tracer.calls.borrow_mut();
            let index = calls.iter().position(|call| call.ended_ms.is_some_and(|ended_ms| ended_ms <= before_ms));
            index.map(|index| calls.remove(index))
        };
        match stale {
            Some(stale) => complete(tracer, stale),
            None => return,
        }
    }
}

/// Looks after an interval at what still has no timing.
fn give_up_later(tracer: &Tracer) {
    if !tracer.gives_up.replace(true) {
        js::after(f64::from(tracer.config.flush_interval_ms), Tag::GiveUp, 0);
    }
}

pub(super) fn give_up_in_time(tracer: &Rc<Tracer>) {
    tracer.gives_up.set(false);
    observer::drain(tracer);
    give_up(tracer, tracer.timeline.page_ms() - f64::from(tracer.config.flush_interval_ms) / 2.0);
    if tracer.calls.borrow().iter().any(|call| call.ended_ms.is_some()) {
        give_up_later(tracer);
    }
}

/// The page goes away: what has not ended ends now, and says so.
pub(super) fn abandon(tracer: &Rc<Tracer>) {
    observer::drain(tracer);
    let now_ms = tracer.timeline.page_ms();
    for mut call in tracer.calls.take() {
        if call.ended_ms.is_none() {
            call.ended_ms = Some(now_ms);
            call.span.attributes.put(keys::UNFINISHED, &Value::Bool(true));
        }
        let scope = call.scope.take();
        complete(tracer, call);
        if let Some(scope) = scope {
            scope.end();
        }
    }
    for mut open in tracer.open.take() {
        open.span.attributes.put(keys::UNFINISHED, &Value::Bool(true));
        open.end(tracer);
    }
}

/// The span of something that the performance timeline alone has seen: the document, or a resource of it.
pub(super) fn finish_seen(tracer: &Rc<Tracer>, mut span: Span, entry: &Entry, announced: bool) {
    span.attributes.word("http.request.method", "GET");
    if let Some(parts) = Url::parse(&entry.url) {
        super::fetch::describe_url(tracer, &mut span, &entry.url, &parts);
    }
    let status = entry.number(Name::ResponseStatus);
    if status > 0.0 {
        super::fetch::describe_status(&mut span, status);
    }
    let anchor_ms = tracer.timeline.anchor_ms();
    let end_ms = entry.end_ms();
    finish(tracer, span, &entry.url, anchor_ms, end_ms, Some(entry), None, announced);
}

fn complete(tracer: &Rc<Tracer>, call: Call) {
    let Call { span, anchor_ms, start_ms, head_ms, ended_ms, server_timing, url, entry, scope, .. } = call;
    // A body that the browser has whole before the program asks for its head ends with that.
    let end_ms = match (ended_ms, &entry) {
        (Some(ended_ms), _) => ended_ms,
        (None, Some(entry)) => head_ms.unwrap_or(start_ms).max(entry.end_ms()),
        (None, None) => head_ms.unwrap_or(start_ms),
    };
    finish(tracer, span, &url, anchor_ms, end_ms, entry.as_ref(), server_timing.as_deref(), true);
    if let Some(scope) = scope {
        scope.end();
    }
}

#[expect(clippy::too_many_arguments, reason = "all that is known of one request, by two roads")]
fn finish(
    tracer: &Rc<Tracer>,
    mut span: Span,
    url: &str,
    anchor_ms: f64,
    end_ms: f64,
    entry: Option<&Entry>,
    server_timing: Option<&str>,
    announced: bool,
) {
    span.end_ns = unix_ns(anchor_ms, end_ms).max(span.start_ns);
    let timing = entry.map(|entry| entry.timing_ns(anchor_ms));
    let told = server_timing.and_then(observer::server_times);
    let server: Option<&ServerTimes> = entry.and_then(|entry| entry.server.as_ref()).or(told.as_ref());
    let measured = {
        // A request that began before the clock was set teaches nothing about the clock as it is now.
        let mut of_then = ClockSync::new(DEFAULT_DRIFT_PPM);
        let mut of_now = tracer.clocks.borrow_mut();
        let is_of_now = anchor_ms.total_cmp(&tracer.timeline.anchor_ms()).is_eq();
        let clocks = if is_of_now { &mut *of_now } else { &mut of_then };
        measure(span.start_ns, span.end_ns, timing.as_ref(), server, clocks, tracer.quantum_ns)
    };
    measured.describe(&mut span.attributes);
    if let Some(entry) = entry {
        if let Some(version) = js::text(&entry.timing, Name::NextHopProtocol).as_deref().and_then(protocol_version) {
            span.attributes.word("network.protocol.version", version);
        }
        let bytes = entry.number(Name::EncodedBodySize);
        if bytes > 0.0 {
            span.attributes.int("http.response.body.size", bytes as i64);
        }
    }
    if announced && tracer.is_heard() {
        tracer.announce(summary(&span, &measured, url));
    }
    tracer.record(span);
}

fn summary(span: &Span, measured: &Measured, url: &str) -> RequestSummary {
    let text = |key| span.attributes.get_text(key);
    RequestSummary {
        trace_id: span.context.trace_id.to_string(),
        span_id: span.context.span_id.to_string(),
        method: text("http.request.method").unwrap_or_default(),
        path: Url::parse(url).map(|url| url.path.to_owned()).unwrap_or_default(),
        status: span.attributes.get_int("http.response.status_code").and_then(|status| u16::try_from(status).ok()),
        error: text("error.type"),
        start_ms: ms(span.start_ns),
        total_ms: ms(span.end_ns - span.start_ns),
        segments: measured.segments_ms(),
        quality: measured.decomposition.quality.as_str(),
        network: measured.network(),
    }
}
