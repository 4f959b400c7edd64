//! Who is told of requests and of the tracer's status.

use std::{cell::Cell, rc::Rc, thread::LocalKey};

use throughline_context::UrlParts;

use super::{STARTED, STATUS, active::Active, with};
use crate::{
    measure::{Measured, ms},
    summary::{RequestSummary, Status},
};

/// How many requests are kept for a listener that may come.
const MAX_UNHEARD: usize = 20;

type Listener<T> = Rc<dyn Fn(&T)>;
type Summarize = fn(&Active, &Measured);

thread_local! {
    // Set by those who listen, so that a page in which nobody does has none of their code:
    pub(super) static AFTER: Cell<Option<fn()>> = const { Cell::new(None) };
    pub(super) static SUMMARIZE: Cell<Option<Summarize>> = const { Cell::new(None) };
    static ON_REQUEST: Cell<Vec<Listener<RequestSummary>>> = const { Cell::new(Vec::new()) };
    static ON_STATUS: Cell<Vec<Listener<Status>>> = const { Cell::new(Vec::new()) };
    static TOLD: Cell<Status> = const { Cell::new(Status::Starting) };
    /// Requests that nobody has been told of yet.
    static SUMMARIES: Cell<Vec<RequestSummary>> = const { Cell::new(Vec::new()) };
}

/// Calls `listener` with each finished request once its timing is known. To hear of those that end before anybody listens, that
/// of the document among them, say [`keep_requests`] before [`init`](crate::init).
pub fn on_request(listener: impl Fn(&RequestSummary) + 'static) {
    keep_requests();
    let mut all = ON_REQUEST.take();
    all.push(Rc::new(listener));
    ON_REQUEST.set(all);
    // What was kept is told.
    with(|_| ());
}

/// Keeps the first few finished requests for a listener that comes later.
pub fn keep_requests() {
    SUMMARIZE.set(Some(summarize));
    AFTER.set(Some(tell_listeners));
}

/// Calls `listener` now with the present status, and again at each change.
pub fn on_status(listener: impl Fn(&Status) + 'static) {
    let status = if STARTED.get() { STATUS.get() } else { Status::Off("the tracer was not started") };
    listener(&status);
    TOLD.set(status);
    let mut all = ON_STATUS.take();
    all.push(Rc::new(listener));
    ON_STATUS.set(all);
    AFTER.set(Some(tell_listeners));
}

/// Keeps what a listener is told of a request.
fn summarize(call: &Active, measured: &Measured) {
    let Active { span, url, .. } = call;
    let listening = ON_REQUEST.take();
    let hears = !listening.is_empty();
    ON_REQUEST.set(listening);
    let mut all = SUMMARIES.take();
    if hears || all.len() < MAX_UNHEARD {
        let text = |key| span.attributes.get_text(key);
        all.push(RequestSummary {
            trace_id: span.context.trace_id.to_string(),
            span_id: span.context.span_id.to_string(),
            // infallible: every request span has a method
            method: text("http.request.method").unwrap_or_default(),
            path: UrlParts::of(url).path.to_owned(),
            status: span.attributes.get_int("http.response.status_code").map(|status| status as u16),
            error: text("error.type"),
            start_ms: ms(span.start_ns),
            total_ms: ms(span.end_ns - span.start_ns),
            segments: measured.segments_ms(),
            quality: measured.decomposition.quality.as_str(),
            network: measured.network(),
        });
    }
    SUMMARIES.set(all);
}

/// Tells listeners what happened while the tracer was taken. They may add listeners, or ask for anything.
fn tell_listeners() {
    fn tell<T>(listeners: &'static LocalKey<Cell<Vec<Listener<T>>>>, things: &[T]) {
        let mut all = listeners.take();
        for thing in things {
            for listener in &all {
                listener(thing);
            }
        }
        all.append(&mut listeners.take());
        listeners.set(all);
    }
    let status = STATUS.get();
    if TOLD.replace(status) != status {
        tell(&ON_STATUS, &[status]);
    }
    let listening = ON_REQUEST.take();
    let hears = !listening.is_empty();
    ON_REQUEST.set(listening);
    if hears {
        let summaries = SUMMARIES.take();
        if !summaries.is_empty() {
            tell(&ON_REQUEST, &summaries);
        }
    }
}
