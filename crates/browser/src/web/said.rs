//! What the application says to the tracer, and asks of it.

use std::cell::Cell;

use super::{Tracer, with};
use crate::{
    attributes::{Attributes, Value},
    context::{self, Context},
    record::Severity,
};

thread_local! {
    /// What the application said before it started the tracer.
    pub(super) static SAID_EARLY: Cell<Option<Attributes>> = const { Cell::new(None) };
    static BAGGAGE: Cell<Vec<(String, String)>> = const { Cell::new(Vec::new()) };
    /// The header, if there is anything in it.
    pub(super) static BAGGAGE_HEADER: Cell<String> = const { Cell::new(String::new()) };
}

/// Says that the application is mounted: the page-load span ends when the requests that belong to it have ended. Without it
/// the span ends some seconds after the start.
pub fn app_ready() {
    with(Tracer::page_ready);
}

/// Who uses the page: `user.id` on every record that is not sent yet and on all that follow, until somebody else does.
pub fn set_user_id(user_id: Option<&str>) {
    match user_id {
        Some(user_id) => set_attribute("user.id", user_id.to_owned()),
        None => {
            if with(|tracer| tracer.common.remove("user.id")).is_none() {
                // default: nothing was set before the start
                let mut early = SAID_EARLY.take().unwrap_or_default();
                early.remove("user.id");
                SAID_EARLY.set(Some(early));
            }
        }
    }
}

/// One more attribute for every span and event from now on, and for those that wait and lack it.
pub fn set_attribute(key: &str, value: impl Into<Value>) {
    let value = value.into();
    let said = with(|tracer| {
        let mut waiting = Attributes::default();
        waiting.put(key, &value);
        tracer.delivery.describe_waiting(tracer.session.id, &waiting, key);
        tracer.common.remove(key);
        tracer.common.put(key, &value);
    });
    if said.is_none() {
        // default: nothing was set before the start
        let mut early = SAID_EARLY.take().unwrap_or_default();
        early.set(key, value);
        SAID_EARLY.set(Some(early));
    }
}

/// One more entry of W3C Baggage for the requests that carry `traceparent`, in place of an earlier one; `None` takes it out.
/// Whoever receives those requests can read it. A key that is no token (RFC 9110 §5.6.2) is left out, and so is what would be
/// more than 64 entries or 8192 bytes.
pub fn set_baggage(key: &str, value: Option<&str>) {
    let mut entries = BAGGAGE.take();
    entries.retain(|(known, _)| known != key);
    if let Some(value) = value {
        entries.push((key.to_owned(), value.to_owned()));
    }
    let mut baggage = throughline_context::Baggage::default();
    for (key, value) in &entries {
        // best effort: what does not fit is left out, as documented
        let _ = baggage.insert(key, value);
    }
    BAGGAGE.set(entries);
    BAGGAGE_HEADER.set(baggage.to_string());
}

/// The session's id, 32 hexadecimal digits, if the tracer runs.
#[must_use]
pub fn session_id() -> Option<String> {
    with(|tracer| tracer.session.id.to_string())
}

/// Tells of something that happened: a log record with this event name, in the span that is current.
pub fn event(name: &'static str, attributes: Attributes) {
    with(|tracer| tracer.tell_now(name, Severity::Info, attributes));
}

/// The context in which this code runs: that of the wrapped future or closure, else that of the page load, route change or
/// user action that has not settled yet, else none.
#[must_use]
pub fn current() -> Context {
    context::attached()
        .or_else(|| {
            with(|tracer| {
                let here = tracer.ambient_context();
                // Whoever asks may begin something in it later: then its parent has to be there.
                tracer.keep(here.scope);
                here
            })
        })
        // default: without a tracer there is no context
        .unwrap_or_default()
}

/// How many finished records this page lost so far, because the queue was full or the receiver refused them.
#[must_use]
pub fn dropped() -> u64 {
    with(|tracer| tracer.delivery.dropped()).unwrap_or(0)
}

/// Sends what is waiting, now.
pub fn flush() {
    with(|tracer| {
        tracer.drain();
        tracer.delivery.hurry();
        tracer.pump();
    });
}
