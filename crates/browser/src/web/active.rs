//! Whatever has begun and has not ended: requests, spans of the application, and the spans that wait for what follows from
//! them, which are the load of the page, a change of route, and a user action.

use wasm_bindgen::JsValue;

use super::{
    Tracer,
    js::{self, Name, Tag},
    observer::Entry,
};
use crate::{
    clock::unix_ns,
    context::Context,
    record::{Kind, Span, SpanContext},
};

/// At most so much is followed at once; what begins beyond is left alone, and counted as lost.
const MAX_ACTIVE: usize = 4_096;

/// A timer that has not called back for so long after its time never will: another is set. Milliseconds.
pub(super) const TIMER_MS: f64 = 1_000.0;

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Request,
    /// A span that the application ends.
    Span,
    /// It waits for the `load` event too.
    PageLoad,
    Route,
    /// It is told of only if something follows.
    Action,
}

/// Something that has begun. One type for all: each further one would bring its own copy of every list's code.
pub(super) struct Active {
    pub(super) number: u32,
    pub(super) what: What,
    pub(super) span: Span,
    pub(super) anchor_ms: f64,
    /// The number of what has to outlast it; 0 is nothing.
    pub(super) scope: u32,

    // Of what waits for others:
    /// What was the parent before, and will be again.
    pub(super) before: u32,
    pending: u32,
    released: bool,
    pub(super) kept: bool,
    /// Whether the application has said which route it is.
    pub(super) is_named: bool,
    is_overtaken: bool,
    /// Whether the address has changed to it.
    #[cfg(feature = "navigation")]
    pub(super) is_there: bool,
    last_ms: f64,

    // Of requests; 0 is not yet, or never:
    /// Absolute, as the performance timeline spells it.
    pub(super) url: String,
    pub(super) start_ms: f64,
    /// When the program heard of the response's head.
    pub(super) head_ms: f64,
    /// When the program was through with it, or it failed.
    pub(super) ended_ms: f64,
    /// Whether the program says when it is through; otherwise the body's last byte is the end.
    pub(super) by_program: bool,
    /// The abort signal, if there is one.
    pub(super) signal: JsValue,
    /// The response's `Server-Timing`, where the timeline may hide it.
    pub(super) server_timing: Option<String>,
    pub(super) entry: Option<Entry>,
}

impl Tracer {
    /// Follows a span that has begun; its number, or 0 if there is too much already.
    pub(super) fn follow(&mut self, what: What, span: Span, scope: u32) -> u32 {
        if self.active.len() >= MAX_ACTIVE {
            self.delivery.count_dropped(1);
            return 0;
        }
        if let Some(scope) = self.find(scope) {
            scope.kept = true;
            scope.pending += 1;
        }
        let number = self.number();
        let now_ms = self.timeline.page_ms();
        self.active.push(Active {
            number,
            what,
            span,
            anchor_ms: self.timeline.anchor_ms(),
            scope,
            before: 0,
            pending: 0,
            released: false,
            kept: what != What::Action,
            is_named: false,
            is_overtaken: false,
            #[cfg(feature = "navigation")]
            is_there: false,
            last_ms: now_ms,
            url: String::new(),
            start_ms: now_ms,
            head_ms: 0.0,
            ended_ms: 0.0,
            by_program: false,
            signal: JsValue::UNDEFINED,
            server_timing: None,
            entry: None,
        });
        number
    }

    /// A number that nothing has.
    pub(super) const fn number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        if self.last_number == 0 {
            self.last_number = 1;
        }
        self.last_number
    }

    pub(super) fn find(&mut self, number: u32) -> Option<&mut Active> {
        self.active.iter_mut().find(|active| active.number == number)
    }

    /// Takes something out of the list.
    pub(super) fn take(&mut self, number: u32) -> Option<Active> {
        let index = self.active.iter().position(|active| active.number == number)?;
        Some(self.active.swap_remove(index))
    }

    /// Something that a scope has to outlast has ended.
    pub(super) fn left(&mut self, scope: u32) {
        let now_ms = self.timeline.page_ms();
        if let Some(scope) = self.find(scope) {
            scope.pending = scope.pending.saturating_sub(1);
            scope.last_ms = now_ms;
            // What follows from the response in this task may send the next request.
            self.settle_soon();
        }
    }

    /// Something happened that is worth telling of what it happened in.
    pub(super) fn keep(&mut self, scope: u32) {
        if let Some(scope) = self.find(scope) {
            scope.kept = true;
        }
    }

    pub(super) fn ambient_context(&self) -> Context {
        match self.active.iter().find(|active| active.number == self.ambient) {
            Some(active) => Context { span: Some(active.span.context), scope: active.number },
            None => Context::default(),
        }
    }

    /// What is the parent of what is begun without a context, if it is of this kind.
    pub(super) fn ambient_of(&mut self, what: What) -> Option<&mut Active> {
        self.find(self.ambient).filter(|active| active.what == what)
    }

    /// Whether the page has not settled since it was asked for.
    pub(super) fn is_loading(&self) -> bool {
        self.active.iter().any(|active| active.what == What::PageLoad)
    }

    /// Makes a span the parent of what is begun from now on. An earlier load or route change ends; an action is passing, and
    /// gives the place back.
    pub(super) fn begin_scope(&mut self, what: What, mut span: Span, scope: u32) -> u32 {
        // An action gives the place back to what was there before all actions.
        let mut before = match self.ambient_of(What::Action) {
            Some(earlier) => earlier.before,
            None => self.ambient,
        };
        if what != What::Action {
            for earlier in [What::PageLoad, What::Route] {
                while let Some(one) = self.active.iter_mut().find(|one| one.what == earlier) {
                    // The address may be the next one's already.
                    one.is_overtaken = true;
                    let number = one.number;
                    self.end_scope(number);
                }
            }
            before = 0;
            span.attributes.text("url.path", &self.path());
        }
        let number = self.follow(what, span, scope);
        if let Some(scope) = self.find(number) {
            scope.before = before;
            self.ambient = number;
        }
        number
    }

    /// Lets a span end once what belongs to it has, from the next task on: what this task sets off still belongs to it.
    pub(super) fn release(&mut self, number: u32) {
        if let Some(scope) = self.find(number) {
            scope.released = true;
        }
        self.settle_soon();
    }

    /// Looks in the next task at which scopes have come to their end.
    pub(super) fn settle_soon(&mut self) {
        let now_ms = self.timeline.page_ms();
        if self.settles_ms <= now_ms && js::after(0.0, Tag::Settle, 0) {
            self.settles_ms = now_ms + TIMER_MS;
        }
    }

    pub(super) fn settle(&mut self) {
        self.settles_ms = 0.0;
        let loaded = js::get(&self.document, Name::ReadyState) == "complete";
        while let Some(number) = self
            .active
            .iter()
            .find(|one| one.released && one.pending == 0 && (loaded || one.what != What::PageLoad))
            .map(|one| one.number)
        {
            self.end_scope(number);
        }
    }

    /// Ends what others waited in, at the last thing that happened in it.
    pub(super) fn end_scope(&mut self, number: u32) {
        let Some(mut scope) = self.take(number) else { return };
        if self.ambient == number {
            self.ambient = scope.before;
        }
        if scope.kept {
            let mut last_ms = scope.last_ms;
            if scope.what == What::PageLoad {
                last_ms = self.page_loaded(&mut scope, last_ms);
            }
            // A router changes the address after it has built the page: now it is the right one.
            if scope.what != What::Action && !scope.is_overtaken {
                scope.span.attributes.set("url.path", self.path());
            }
            scope.span.end_ns = unix_ns(scope.anchor_ms, last_ms);
            self.record(&mut scope.span);
        }
        self.left(scope.scope);
    }

    /// Ends a span of the application, now.
    pub(super) fn end_span(&mut self, number: u32) {
        let Some(mut open) = self.take(number) else { return };
        open.span.end_ns = unix_ns(open.anchor_ms, self.timeline.page_ms());
        self.record(&mut open.span);
        self.left(open.scope);
    }

    /// Begins a span of this page that starts at a moment of the performance timeline.
    pub(super) fn begin_at(
        &self,
        context: SpanContext,
        parent: Option<SpanContext>,
        name: String,
        kind: Kind,
        start_ms: f64,
    ) -> Span {
        let start_ns = self.timeline.unix_ns(start_ms);
        Span {
            context,
            parent: parent.map(|parent| parent.span_id),
            name,
            kind,
            start_ns,
            end_ns: start_ns,
            attributes: crate::attributes::Attributes::default(),
            events: Vec::new(),
            error: false,
        }
    }
}
