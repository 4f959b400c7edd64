//! From a request that has ended to its span, once the browser has told its timing.

use std::rc::Rc;

use throughline_context::{SpanId, redact_url};
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM, server_timing::ServerTimes};

use super::{
    Tracer, clock,
    observer::{self, Entry},
};
use crate::{
    measure::{Measured, measure, ms},
    span::{SpanData, Value},
    summary::RequestSummary,
};

/// At most so many requests wait for their timing; the oldest then goes without.
const MAX_AWAITING: usize = 256;

/// At most so many entries wait for their request to end; the oldest is then forgotten.
const MAX_EARLY: usize = 64;

/// How far the browser's start of a request may lie before ours: both are rounded.
const START_SLACK_MS: f64 = 1.0;

/// A request whose body the program has not read yet.
pub(super) struct UnderWay {
    pub(super) span_id: SpanId,
    pub(super) url: String,
    pub(super) start_page_ms: f64,
}

/// A request that has ended and whose timing is not known yet.
pub(super) struct Awaiting {
    pub(super) span: SpanData,
    /// Absolute, as the performance timeline spells it.
    pub(super) url: String,
    pub(super) anchor_ms: f64,
    pub(super) start_page_ms: f64,
    pub(super) end_page_ms: f64,
    /// The response's `Server-Timing`, where the page may read it.
    pub(super) server_timing: Option<String>,
}

/// Takes a request that has ended.
pub(super) fn ended(tracer: &Rc<Tracer>, awaiting: Awaiting) {
    let oldest = {
        let mut all = tracer.awaiting.borrow_mut();
        all.push(awaiting);
        (all.len() > MAX_AWAITING).then(|| all.remove(0))
    };
    if let Some(oldest) = oldest {
        complete(tracer, oldest, None);
    }
    // The entry may have been told before the program heard of the body, or be there untold; else the observer is called when
    // it is. The flush is the last resort.
    for entry in tracer.early.take() {
        matched(tracer, entry);
    }
    if let Some(observer) = tracer.observer.borrow().as_ref() {
        observer.drain();
    }
    if !tracer.awaiting.borrow().is_empty() {
        super::delivery::give_up_later(tracer);
    }
}

/// Whether an entry may be about a request of ours, ended or under way.
pub(super) fn could_match(tracer: &Tracer, url: &str, start_page_ms: f64) -> bool {
    let is_it = |known: &str, start: f64| known == url && start_page_ms >= start - START_SLACK_MS;
    tracer.awaiting.borrow().iter().any(|one| is_it(&one.url, one.start_page_ms))
        || tracer.under_way.borrow().iter().any(|one| is_it(&one.url, one.start_page_ms))
}

/// Gives an entry to the request that it is about.
///
/// The server returns the id of the client's span, which decides even when the same URL is fetched many times at once.
/// Without that, the last request to the URL that began before the entry, and within whose time it lies, has it.
///
/// An entry whose request has not ended, as far as the program knows, is kept for that.
pub(super) fn matched(tracer: &Rc<Tracer>, entry: Entry) {
    let found = {
        let mut all = tracer.awaiting.borrow_mut();
        let named = entry.server.as_ref().and_then(|server| server.client_span.as_deref());
        let index = match named {
            Some(span_id) => all.iter().position(|one| one.span.context.span_id.to_string() == span_id),
            None => all
                .iter()
                .enumerate()
                .filter(|(_, one)| {
                    one.url == entry.url
                        && entry.start_ms >= one.start_page_ms - START_SLACK_MS
                        && entry.start_ms <= one.end_page_ms
                })
                .max_by(|(_, a), (_, b)| a.start_page_ms.total_cmp(&b.start_page_ms))
                .map(|(index, _)| index),
        };
        index.map(|index| all.remove(index))
    };
    match found {
        Some(found) => complete(tracer, found, Some(&entry)),
        None if !tracer.under_way.borrow().is_empty() => {
            let mut early = tracer.early.borrow_mut();
            if early.len() == MAX_EARLY {
                early.remove(0);
            }
            early.push(entry);
        }
        None => {}
    }
}

/// Completes requests that ended before `before_page_ms` and whose timing never came.
pub(super) fn give_up(tracer: &Rc<Tracer>, before_page_ms: f64) {
    loop {
        let stale = {
            let mut all = tracer.awaiting.borrow_mut();
            let index = all.iter().position(|one| one.end_page_ms <= before_page_ms);
            index.map(|index| all.remove(index))
        };
        match stale {
            Some(stale) => complete(tracer, stale, None),
            None => return,
        }
    }
}

/// The span of the document's request, which the performance timeline alone has seen.
pub(super) fn finish_document(tracer: &Rc<Tracer>, mut span: SpanData, entry: &Entry) {
    let url = entry.url.clone();
    span.attributes.set("http.request.method", "GET");
    super::http::describe_url(&mut span.attributes, &url);
    if let Some(status) = entry.number("responseStatus").filter(|status| *status > 0.0) {
        span.attributes.set("http.response.status_code", status as i64);
        if status >= 400.0 {
            span.error = true;
            span.attributes.set("error.type", status.to_string());
        }
    }
    let awaiting = Awaiting {
        anchor_ms: tracer.clock.anchor_ms(),
        start_page_ms: entry.start_ms,
        end_page_ms: entry.end_ms(),
        url,
        span,
        server_timing: None,
    };
    complete(tracer, awaiting, Some(entry));
}

fn complete(tracer: &Rc<Tracer>, awaiting: Awaiting, entry: Option<&Entry>) {
    let Awaiting { mut span, anchor_ms, end_page_ms, server_timing, url, .. } = awaiting;
    span.end_ns = clock::unix_ns(anchor_ms, end_page_ms);
    let timing = entry.map(|entry| entry.timing_ns(anchor_ms));
    let server: Option<ServerTimes> =
        entry.and_then(|entry| entry.server.clone()).or_else(|| observer::server_times(server_timing.as_deref()?));
    // A request that began before the clock was set teaches nothing about the clock as it is now.
    let mut of_then = ClockSync::new(DEFAULT_DRIFT_PPM);
    let mut of_now = tracer.clocks.borrow_mut();
    let measured = measure(
        span.start_ns,
        span.end_ns,
        timing.as_ref(),
        server.as_ref(),
        if anchor_ms == tracer.clock.anchor_ms() { &mut of_now } else { &mut of_then },
        tracer.clock.quantum_ns(),
    );
    drop(of_now);
    measured.describe(&mut span.attributes);
    if let Some(entry) = entry {
        if let Some(version) = protocol_version(&entry.next_hop_protocol()) {
            span.attributes.set("network.protocol.version", version);
        }
        if let Some(bytes) = entry.number("encodedBodySize").filter(|bytes| *bytes > 0.0) {
            span.attributes.set("http.response.body.size", bytes as i64);
        }
    }
    tracer.announce(&summary(&span, &measured, &url));
    tracer.record(span);
}

fn summary(span: &SpanData, measured: &Measured, url: &str) -> RequestSummary {
    let text = |key| match span.attributes.get(key) {
        Some(Value::Str(text)) => Some(text.clone().into_owned()),
        _ => None,
    };
    RequestSummary {
        trace_id: span.context.trace_id.to_string(),
        span_id: span.context.span_id.to_string(),
        method: text("http.request.method").unwrap_or_default(),
        path: web_sys::Url::new(url).map_or_else(|_| redact_url(url), |url| url.pathname()),
        status: match span.attributes.get("http.response.status_code") {
            Some(Value::Int(status)) => u16::try_from(*status).ok(),
            _ => None,
        },
        error: text("error.type"),
        start_ms: ms(span.start_ns),
        total_ms: ms(span.end_ns - span.start_ns),
        segments: measured.segments_ms(),
        quality: measured.decomposition.quality.as_str(),
        network: measured.network(),
    }
}

/// The version by the conventions for `network.protocol.version`, from an ALPN id.
fn protocol_version(alpn: &str) -> Option<&'static str> {
    match alpn {
        "http/1.0" => Some("1.0"),
        "http/1.1" => Some("1.1"),
        "h2" | "h2c" => Some("2"),
        "h3" => Some("3"),
        _ => None,
    }
}
