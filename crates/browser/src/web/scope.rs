//! The root spans that wait for their requests: the load of the page, a change of route.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use super::{Tracer, clock, platform};
use crate::{
    context::{Context, Scope},
    span::{EventData, Kind, SpanContext, SpanData},
};

/// A span that is the parent of what is fetched until nothing is left in flight.
pub(super) struct RootScope {
    tracer: Weak<Tracer>,
    context: SpanContext,
    span: RefCell<Option<SpanData>>,
    pending: Cell<u32>,
    released: Cell<bool>,
    /// Only the load of a page waits for the `load` event.
    awaits_load: bool,
    listens: Cell<bool>,
    last_page_ms: Cell<f64>,
    anchor_ms: f64,
    this: Weak<RootScope>,
}

impl RootScope {
    /// Makes `span` the parent of what is fetched from now on; an earlier one ends.
    pub(super) fn start(tracer: &Rc<Tracer>, span: SpanData, awaits_load: bool) -> Rc<Self> {
        let earlier = tracer.ambient.borrow_mut().take();
        if let Some(earlier) = earlier {
            earlier.finish();
        }
        let scope = Rc::new_cyclic(|this| Self {
            tracer: Rc::downgrade(tracer),
            context: span.context,
            span: RefCell::new(Some(span)),
            pending: Cell::new(0),
            released: Cell::new(false),
            awaits_load,
            listens: Cell::new(false),
            last_page_ms: Cell::new(tracer.clock.page_ms()),
            anchor_ms: tracer.clock.anchor_ms(),
            this: this.clone(),
        });
        tracer.ambient.replace(Some(Rc::clone(&scope)));
        scope
    }

    pub(super) fn context(self: &Rc<Self>) -> Context {
        Context { span: Some(self.context), scope: Some(Rc::<Self>::clone(self)) }
    }

    /// Lets the span end once its requests have, from the next task on: what this task sets off still belongs to it.
    pub(super) fn release_soon(self: &Rc<Self>) {
        let scope = Rc::clone(self);
        platform::after(0, move || {
            scope.released.set(true);
            scope.settle();
        });
    }

    /// Ends the span if nothing is in flight.
    fn settle(&self) {
        if !self.released.get() || self.pending.get() > 0 {
            return;
        }
        let loaded = || web_sys::window().and_then(|w| w.document()).is_none_or(|d| d.ready_state() == "complete");
        if self.awaits_load && !loaded() {
            if let (Some(window), Some(scope), false) =
                (web_sys::window(), self.this.upgrade(), self.listens.replace(true))
            {
                // In a task after the event's, so that `loadEventEnd` is known.
                platform::listen(&window, "load", move || {
                    let scope = Rc::clone(&scope);
                    platform::after(0, move || scope.settle());
                });
            }
            return;
        }
        self.finish();
    }

    /// Ends the span now, at the last thing that happened in it.
    pub(super) fn finish(&self) {
        let (Some(tracer), Some(mut span)) = (self.tracer.upgrade(), self.span.take()) else { return };
        if tracer.ambient.borrow().as_ref().is_some_and(|ambient| std::ptr::eq(Rc::as_ptr(ambient), self)) {
            drop(tracer.ambient.borrow_mut().take());
        }
        let mut last_ms = self.last_page_ms.get();
        if self.awaits_load {
            for (name, page_ms) in super::page_load::milestones(&tracer) {
                last_ms = last_ms.max(page_ms);
                span.events.push(EventData { time_ns: clock::unix_ns(self.anchor_ms, page_ms), name });
            }
        }
        // A router changes the address after it has built the page: now it is the right one.
        span.attributes.set("url.path", platform::path());
        span.end_ns = clock::unix_ns(self.anchor_ms, last_ms);
        tracer.record(span);
    }
}

impl Scope for RootScope {
    fn begin(&self) {
        self.pending.set(self.pending.get() + 1);
    }

    fn end(&self) {
        self.pending.set(self.pending.get().saturating_sub(1));
        if let Some(tracer) = self.tracer.upgrade() {
            self.last_page_ms.set(tracer.clock.page_ms());
        }
        if let Some(scope) = self.this.upgrade() {
            // What follows from the response in this task may send the next request.
            platform::after(0, move || scope.settle());
        }
    }
}

/// Begins the span of a route change.
pub(super) fn navigate(tracer: &Rc<Tracer>, route: &str) {
    let mut span = tracer.start(&Context::default(), format!("navigate {route}"), Kind::Internal);
    span.attributes.set("url.template", route.to_owned());
    RootScope::start(tracer, span, false).release_soon();
}
