//! The session of this browser, shared by its tabs through `localStorage`.

use std::rc::Rc;

use throughline_context::keys;

use super::{Tracer, platform};
use crate::{
    attributes::Attributes,
    clock::Ids,
    record::{Event, Severity},
    session::{ID_LENGTH, LONGEST_MS, LOOK_MS, Look, Session, is_sampled, look},
};

const KEY: &str = "throughline:session";

fn new_id(ids: &Ids<platform::BrowserRandom>) -> Rc<str> {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut id = String::with_capacity(ID_LENGTH);
    for byte in ids.bytes::<{ ID_LENGTH / 2 }>() {
        for digit in [byte >> 4, byte & 15] {
            id.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    Rc::from(id)
}

/// The session that a page begins in. A ticket that came with the page is for a session that the server knows: a new session
/// takes its id, so that the ticket is good at once.
pub(super) fn start(ids: &Ids<platform::BrowserRandom>, ticketed: Option<&Rc<str>>, now_ms: f64) -> Look {
    let shared = platform::stored(KEY).as_deref().and_then(Session::parse);
    let over = shared.as_ref().map(|session| Rc::clone(&session.id));
    look(None, shared, now_ms, || match ticketed {
        Some(id) if over.as_ref() != Some(id) => Rc::clone(id),
        _ => new_id(ids),
    })
}

/// Something happens: the session goes on, or another begins.
pub(super) fn touch(tracer: &Rc<Tracer>) {
    let now_ms = tracer.timeline.wall_ms();
    {
        let mut session = tracer.session.borrow_mut();
        if !session.is_over(now_ms) && (now_ms - tracer.looked_ms.get()).abs() < LOOK_MS {
            session.active_ms = now_ms;
            return;
        }
    }
    tracer.looked_ms.set(now_ms);
    let shared = platform::stored(KEY).as_deref().and_then(Session::parse);
    let known = tracer.session.borrow().clone();
    let found = look(Some(&known), shared, now_ms, || new_id(&tracer.ids));
    begun(tracer, &found);
}

/// Takes note of what was found, and tells of a session that began and of the one that ended.
pub(super) fn begun(tracer: &Rc<Tracer>, found: &Look) {
    let session = &found.session;
    // Forbidden or full storage costs the next page its session, nothing more.
    platform::store(KEY, &session.print());
    tracer.sampled.set(is_sampled(&session.id, tracer.config.sample_ratio));
    tracer.session.replace(session.clone());
    if !found.is_new || !tracer.sampled.get() {
        return;
    }
    let event = |name: &'static str, attributes| Event {
        name: name.into(),
        severity: Severity::Info,
        attributes,
        time_ns: tracer.timeline.now_ns(),
        span: tracer.page.get(),
    };
    let mut attributes = Attributes::default();
    if let Some(previous) = &found.previous {
        let mut ending = Attributes::default();
        let is_old = tracer.timeline.wall_ms() - previous.started_ms >= LONGEST_MS;
        ending.word(keys::SESSION_END, if is_old { "age" } else { "idle" });
        let mut end = event("session.end", ending);
        // It ended when something last happened in it; nobody was there to say so.
        end.time_ns = (previous.active_ms * 1e6) as i64;
        end.span = None;
        tracer.tell_of(Rc::clone(&previous.id), end);
        attributes.text("session.previous_id", &previous.id);
    }
    tracer.tell_of(Rc::clone(&session.id), event("session.start", attributes));
}
