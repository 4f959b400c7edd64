//! Listeners for finished requests and for the tracer's status.

use std::{cell::Cell, rc::Rc, thread::LocalKey};

use throughline_context::UrlParts;

use super::{STARTED, STATUS, active::Active, with};
use crate::{
    measure::{Measured, ms},
    summary::{RequestSummary, Status},
};

/// The maximum number of requests that are kept for a listener registered later.
const MAX_KEPT: usize = 20;

type Listener<T> = Rc<dyn Fn(&T)>;
type Summarize = fn(&Active, &Measured);

thread_local! {
    // Function pointers set when a listener is registered, so that a page without listeners does not contain their
    // code.
    pub(super) static AFTER: Cell<Option<fn()>> = const { Cell::new(None) };
    pub(super) static SUMMARIZE: Cell<Option<Summarize>> = const { Cell::new(None) };
    static ON_REQUEST: Cell<Vec<Listener<RequestSummary>>> = const { Cell::new(Vec::new()) };
    static ON_STATUS: Cell<Vec<Listener<Status>>> = const { Cell::new(Vec::new()) };
    static NOTIFIED: Cell<Status> = const { Cell::new(Status::Starting) };
    /// Requests that have not been passed to listeners yet.
    static SUMMARIES: Cell<Vec<RequestSummary>> = const { Cell::new(Vec::new()) };
}

/// Calls `listener` with each finished request once its timing is known.
///
/// To include requests that end before a listener is registered, such as the request for the document, call
/// [`buffer_requests`] before [`init`](crate::init).
pub fn on_request(listener: impl Fn(&RequestSummary) + 'static) {
    buffer_requests();
    let mut all = ON_REQUEST.take();
    all.push(Rc::new(listener));
    ON_REQUEST.set(all);
    // Passes the requests that were kept.
    with(|_| ());
}

/// Keeps the first 20 finished requests for a listener that is registered later.
pub fn buffer_requests() {
    SUMMARIZE.set(Some(summarize));
    AFTER.set(Some(notify_listeners));
}

/// Calls `listener` with the current status, and again at each change.
pub fn on_status(listener: impl Fn(&Status) + 'static) {
    let status = if STARTED.get() { STATUS.get() } else { Status::Off("the tracer was not started") };
    listener(&status);
    NOTIFIED.set(status);
    let mut all = ON_STATUS.take();
    all.push(Rc::new(listener));
    ON_STATUS.set(all);
    AFTER.set(Some(notify_listeners));
}

/// Keeps the summary of a request for the listeners.
fn summarize(call: &Active, measured: &Measured) {
    let Active { span, url, .. } = call;
    let listeners = ON_REQUEST.take();
    let has_listeners = !listeners.is_empty();
    ON_REQUEST.set(listeners);
    let mut all = SUMMARIES.take();
    if has_listeners || all.len() < MAX_KEPT {
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

/// Notifies listeners after the tracer was put back. They may register listeners and call the tracer.
fn notify_listeners() {
    fn notify<T>(listeners: &'static LocalKey<Cell<Vec<Listener<T>>>>, things: &[T]) {
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
    if NOTIFIED.replace(status) != status {
        notify(&ON_STATUS, &[status]);
    }
    let listeners = ON_REQUEST.take();
    let has_listeners = !listeners.is_empty();
    ON_REQUEST.set(listeners);
    if has_listeners {
        let summaries = SUMMARIES.take();
        if !summaries.is_empty() {
            notify(&ON_REQUEST, &summaries);
        }
    }
}
