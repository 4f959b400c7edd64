//! The page is hidden, or goes away.

use std::rc::Rc;

use super::{
    Tracer, finish,
    js::{self, Name, Tag},
    observer, sender, vitals,
};

pub(super) fn start(tracer: &Tracer) {
    js::listen(&tracer.document, "visibilitychange", Tag::Hidden);
    js::listen(&js::window(), "pagehide", Tag::PageHide);
    js::listen(&js::window(), "pageshow", Tag::PageShow);
    js::listen(&js::window(), "online", Tag::Online);
}

/// A page that is hidden may never be heard of again, or may go on.
pub(super) fn visibility_changed(tracer: &Rc<Tracer>) {
    if js::get(&tracer.document, Name::Visibility) != "hidden" {
        return;
    }
    leave(tracer, false);
}

/// A page that goes away ends whatever has not ended.
pub(super) fn page_hides(tracer: &Rc<Tracer>) {
    finish::abandon(tracer);
    leave(tracer, true);
}

fn leave(tracer: &Rc<Tracer>, gone: bool) {
    observer::drain(tracer);
    finish::give_up(tracer, f64::INFINITY);
    let ambient = tracer.ambient.borrow().clone();
    if let Some(scope) = ambient {
        scope.finish(tracer);
    }
    vitals::report(tracer);
    sender::send_all(tracer, gone);
}
