//! The session of the browser, shared by its tabs through `localStorage`.

use throughline_context::keys;

use super::{Tracer, platform};
use crate::{
    attributes::Attributes,
    record::{Event, Severity},
    session::{LONGEST_MS, Resolved, SYNC_MS, Session, SessionId, is_sampled, push_hex, resolve},
};

const KEY: &str = "throughline:session";

fn shared() -> Option<Session> {
    Session::parse(&platform::stored(KEY)?)
}

/// Determines the session of a new page. A new session has the session id of the ingest token that came with the page,
/// so that the token is valid for it.
pub(super) fn start(new_id: SessionId, token_session: Option<SessionId>, now_ms: f64) -> Resolved {
    let shared = shared();
    let shared_id = shared.map(|session| session.id);
    resolve(None, shared, now_ms, token_session.filter(|id| shared_id != Some(*id)).unwrap_or(new_id))
}

impl Tracer {
    /// Handles activity: continues the session, or begins another.
    pub(super) fn touch(&mut self) {
        let now_ms = self.timeline.wall_ms();
        if !self.session.is_over(now_ms) && (now_ms - self.synced_ms).abs() < SYNC_MS {
            self.session.active_ms = now_ms;
            return;
        }
        self.synced_ms = now_ms;
        let new_id = self.ids.trace_id();
        self.adopt_session(&resolve(Some(self.session), shared(), now_ms, new_id));
    }

    /// Adopts a session, and records the events of a session that began and of the one that ended.
    pub(super) fn adopt_session(&mut self, found: &Resolved) {
        self.session = found.session;
        self.sampled = is_sampled(found.session.id, self.config.sample_ratio);
        // If storage is forbidden or full, the next page begins another session.
        platform::store(KEY, &found.session.print());
        if !found.is_new || !self.sampled {
            return;
        }
        let event = |name, attributes, time_ms: f64, span| Event {
            name,
            severity: Severity::Info,
            attributes,
            // Whole milliseconds, which a double of nanoseconds cannot hold.
            time_ns: (time_ms as i64).wrapping_mul(1_000_000),
            span,
        };
        let now_ms = found.session.started_ms;
        let mut beginning = Attributes::default();
        if let Some(previous) = found.previous {
            let mut ending = Attributes::default();
            let is_old = now_ms - previous.started_ms >= LONGEST_MS;
            ending.text(keys::SESSION_END, if is_old { "age" } else { "idle" });
            // It ended with its last activity.
            self.emit_for(previous.id, event("session.end", ending, previous.active_ms, None));
            let mut id = String::new();
            push_hex(&mut id, &previous.id.to_hex());
            beginning.text("session.previous_id", &id);
        }
        self.emit_for(found.session.id, event("session.start", beginning, now_ms, self.page));
    }
}
