//! The spans that wait for what follows from them: the load of the page, a change of route, a user action.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use super::{
    Tracer, document,
    js::{self, Name, Tag},
    platform, tracer,
};
use crate::{
    clock::unix_ns,
    context::{Context, Scope},
    record::{Span, SpanContext},
};

/// What began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// It waits for the `load` event too.
    PageLoad,
    Route,
    /// It is told of only if something follows.
    Action,
}

/// A span that is the parent of what is fetched until nothing is left in flight.
pub(super) struct RootScope {
    root: Root,
    context: SpanContext,
    span: RefCell<Option<Span>>,
    /// The scope in which it began itself.
    outer: Option<Rc<dyn Scope>>,
    /// What was the parent before, and will be again.
    pub(super) before: RefCell<Option<Rc<RootScope>>>,
    pending: Cell<u32>,
    released: Cell<bool>,
    kept: Cell<bool>,
    /// Whether the application has said which route it is.
    pub(super) is_named: Cell<bool>,
    /// Whether the address has changed to it.
    pub(super) is_there: Cell<bool>,
    last_ms: Cell<f64>,
    anchor_ms: f64,
    this: Weak<RootScope>,
}

impl RootScope {
    /// Makes `span` the parent of what is fetched from now on. An earlier load or route change ends; an action is passing, and
    /// gives back the place of what was before.
    pub(super) fn start(tracer: &Rc<Tracer>, span: Span, root: Root, outer: Option<Rc<dyn Scope>>) -> Rc<Self> {
        let mut before = tracer.ambient.borrow_mut().take();
        if root != Root::Action {
            let mut ending = before.take();
            while let Some(scope) = ending {
                ending = scope.before.take();
                if scope.root != Root::Action {
                    scope.finish(tracer);
                }
            }
        }
        if let Some(outer) = &outer {
            outer.begin();
        }
        let scope = Rc::new_cyclic(|this| Self {
            root,
            context: span.context,
            span: RefCell::new(Some(span)),
            outer,
            before: RefCell::new(before),
            pending: Cell::new(0),
            released: Cell::new(false),
            kept: Cell::new(root != Root::Action),
            is_named: Cell::new(false),
            is_there: Cell::new(false),
            last_ms: Cell::new(tracer.timeline.page_ms()),
            anchor_ms: tracer.timeline.anchor_ms(),
            this: this.clone(),
        });
        tracer.ambient.replace(Some(Rc::clone(&scope)));
        scope
    }

    pub(super) const fn root(&self) -> Root {
        self.root
    }

    pub(super) fn is_page_load(&self) -> bool {
        self.root == Root::PageLoad
    }

    pub(super) fn context(self: &Rc<Self>) -> Context {
        Context { span: Some(self.context), scope: Some(Rc::<Self>::clone(self)) }
    }

    /// Changes the span, if it has not ended.
    pub(super) fn with_span(&self, f: impl FnOnce(&mut Span)) {
        if let Some(span) = self.span.borrow_mut().as_mut() {
            f(span);
        }
    }

    /// Whether anything has followed from it.
    pub(super) const fn is_kept(&self) -> bool {
        self.kept.get()
    }

    /// It never was: something else says better what happened.
    pub(super) fn cancel(&self) {
        drop(self.span.take());
    }

    /// Lets the span end once what belongs to it has, from the next task on: what this task sets off still belongs to it.
    pub(super) fn release_soon(self: &Rc<Self>, tracer: &Tracer) {
        self.released.set(true);
        settle_soon(tracer, Some(Rc::clone(self)));
    }

    /// Ends the span if nothing is in flight.
    fn settle(&self, tracer: &Rc<Tracer>) {
        if !self.released.get() || self.pending.get() > 0 {
            return;
        }
        if self.is_page_load() && js::get(&tracer.document, Name::ReadyState) != "complete" {
            return;
        }
        self.finish(tracer);
    }

    /// Ends the span now, at the last thing that happened in it.
    pub(super) fn finish(&self, tracer: &Rc<Tracer>) {
        let is_ambient =
            tracer.ambient.borrow().as_ref().is_some_and(|ambient| std::ptr::eq(Rc::as_ptr(ambient), self));
        if is_ambient {
            let before = self.before.take();
            drop(tracer.ambient.replace(before));
        }
        let Some(mut span) = self.span.take() else { return };
        if let Some(outer) = &self.outer {
            outer.end();
        }
        if !self.kept.get() {
            return;
        }
        let mut last_ms = self.last_ms.get();
        if self.is_page_load() {
            for (name, page_ms) in document::milestones() {
                last_ms = last_ms.max(page_ms);
                span.event(unix_ns(self.anchor_ms, page_ms), name);
            }
            document::resources(tracer, span.context, last_ms);
        }
        // A router changes the address after it has built the page: now it is the right one.
        span.attributes.text("url.path", &platform::path());
        span.end_ns = unix_ns(self.anchor_ms, last_ms);
        tracer.record(span);
    }
}

impl Scope for RootScope {
    fn begin(&self) {
        self.kept.set(true);
        self.pending.set(self.pending.get() + 1);
    }

    fn end(&self) {
        self.pending.set(self.pending.get().saturating_sub(1));
        if let Some(tracer) = tracer() {
            self.last_ms.set(tracer.timeline.page_ms());
            // What follows from the response in this task may send the next request.
            settle_soon(&tracer, self.this.upgrade());
        }
    }

    fn keep(&self) {
        self.kept.set(true);
    }
}

/// Looks in the next task at whether a scope has come to its end; without one, at the present one.
pub(super) fn settle_soon(tracer: &Tracer, scope: Option<Rc<RootScope>>) {
    let Some(scope) = scope.or_else(|| tracer.ambient.borrow().clone()) else { return };
    let mut settling = tracer.settling.borrow_mut();
    settling.push(scope);
    if settling.len() == 1 {
        js::after(0.0, Tag::Settle, 0);
    }
}

pub(super) fn settle(tracer: &Rc<Tracer>) {
    for scope in tracer.settling.take() {
        scope.settle(tracer);
    }
}
