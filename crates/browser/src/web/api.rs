//! Functions that the application calls: attributes, events, and the state of the tracer.

use std::cell::Cell;

use super::{Tracer, with};
use crate::{
    attributes::{Attributes, Value},
    context::{self, Context},
    record::Severity,
};

thread_local! {
    /// Attributes set before the tracer was started.
    pub(super) static EARLY_ATTRIBUTES: Cell<Option<Attributes>> = const { Cell::new(None) };
    static BAGGAGE: Cell<Vec<(String, String)>> = const { Cell::new(Vec::new()) };
    /// The value of the header; empty without entries.
    pub(super) static BAGGAGE_HEADER: Cell<String> = const { Cell::new(String::new()) };
}

/// Reports that the application is mounted. The page-load span then ends when its requests have ended.
///
/// Without this call, the application counts as mounted 5 seconds after the start.
pub fn app_ready() {
    with(Tracer::page_ready);
}

/// Sets `user.id` on all later records, and on waiting ones that do not have it; `None` removes it from later records.
pub fn set_user_id(user_id: Option<&str>) {
    match user_id {
        Some(user_id) => set_attribute("user.id", user_id.to_owned()),
        None => {
            if with(|tracer| tracer.common.remove("user.id")).is_none() {
                // default: nothing was set before the start
                let mut early = EARLY_ATTRIBUTES.take().unwrap_or_default();
                early.remove("user.id");
                EARLY_ATTRIBUTES.set(Some(early));
            }
        }
    }
}

/// Sets an attribute on all later spans and events, and on waiting ones that do not have it.
pub fn set_attribute(key: &str, value: impl Into<Value>) {
    let value = value.into();
    let done = with(|tracer| {
        let mut waiting = Attributes::default();
        waiting.put(key, &value);
        tracer.delivery.describe_waiting(tracer.session.id, &waiting, key);
        tracer.common.remove(key);
        tracer.common.put(key, &value);
    });
    if done.is_none() {
        // default: nothing was set before the start
        let mut early = EARLY_ATTRIBUTES.take().unwrap_or_default();
        early.set(key, value);
        EARLY_ATTRIBUTES.set(Some(early));
    }
}

/// Sets an entry of W3C Baggage on requests that carry `traceparent`, replacing an earlier value; `None` removes it.
///
/// Every server that receives those requests can read it. An entry is omitted if its key is not a token (RFC 9110
/// §5.6.2), or if the baggage would have more than 64 entries or 8192 bytes with it.
pub fn set_baggage(key: &str, value: Option<&str>) {
    let mut entries = BAGGAGE.take();
    entries.retain(|(known, _)| known != key);
    if let Some(value) = value {
        entries.push((key.to_owned(), value.to_owned()));
    }
    let mut baggage = throughline_context::Baggage::default();
    for (key, value) in &entries {
        // best effort: an entry that does not fit is omitted, as documented
        let _ = baggage.insert(key, value);
    }
    BAGGAGE.set(entries);
    BAGGAGE_HEADER.set(baggage.to_string());
}

/// Returns the session id, 32 hexadecimal digits, if the tracer is running.
#[must_use]
pub fn session_id() -> Option<String> {
    with(|tracer| tracer.session.id.to_string())
}

/// Records an event in the current span. It is sent as a log record with this event name.
pub fn event(name: &'static str, attributes: Attributes) {
    with(|tracer| tracer.emit_now(name, Severity::Info, attributes));
}

/// Returns the context in which the code runs.
///
/// It is that of the future or closure that [`Context`] wraps. Outside of one, it is that of the page load, route change
/// or user action whose requests have not all ended, if there is one.
#[must_use]
pub fn current() -> Context {
    context::attached()
        .or_else(|| {
            with(|tracer| {
                let here = tracer.ambient_context();
                // The caller may begin a span in it later, whose parent must then be recorded.
                tracer.keep(here.scope);
                here
            })
        })
        // default: without a tracer there is no context
        .unwrap_or_default()
}

/// Returns the number of records that this page has dropped, because a queue was full or the receiver rejected them.
#[must_use]
pub fn dropped() -> u64 {
    with(|tracer| tracer.delivery.dropped()).unwrap_or(0)
}

/// Sends waiting records now.
pub fn flush() {
    with(|tracer| {
        tracer.drain();
        tracer.delivery.make_due();
        tracer.pump();
    });
}
