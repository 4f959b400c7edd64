//! Spans that have begun and not ended: requests, spans of the application, and scopes. A scope is a span that ends
//! after its children: the page load, a route change, or a user action.

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

/// The maximum number of active spans; spans begun above the limit are not traced and are counted as dropped.
const MAX_ACTIVE: usize = 4_096;

/// The delay after which a timer that has not fired is considered lost and set again, milliseconds.
pub(super) const TIMER_MS: f64 = 1_000.0;

/// The kind of an active span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActiveKind {
    Request,
    /// A span that the application ends.
    Span,
    /// A scope that also waits for the `load` event.
    PageLoad,
    Route,
    /// A scope that is recorded only if it has children.
    Action,
}

/// A span that has begun. All kinds have one type, because a further type would add an instance of the list code to the
/// WASM.
pub(super) struct Active {
    pub(super) number: u32,
    pub(super) kind: ActiveKind,
    pub(super) span: Span,
    pub(super) anchor_ms: f64,
    /// The number of the scope that must not end before this span; 0 is none.
    pub(super) scope: u32,

    // Fields of scopes:
    /// The ambient scope before this one, which is restored when it ends.
    pub(super) before: u32,
    pending: u32,
    released: bool,
    pub(super) kept: bool,
    /// Whether the application has named the route.
    pub(super) is_named: bool,
    is_superseded: bool,
    /// Whether the page's URL has changed to this route.
    #[cfg(feature = "navigation")]
    pub(super) url_changed: bool,
    last_ms: f64,

    // Fields of requests; a time of 0 is absent:
    /// The absolute URL, as in the performance timeline.
    pub(super) url: String,
    pub(super) start_ms: f64,
    /// When the program received the response's head.
    pub(super) head_ms: f64,
    /// When the program had read the response, or the request failed.
    pub(super) ended_ms: f64,
    /// Whether the program reports when it has read the body; otherwise the request ends with the body's last byte.
    pub(super) by_program: bool,
    /// The abort signal, if there is one.
    pub(super) signal: JsValue,
    /// The response's `Server-Timing`, if the timeline may hide it.
    pub(super) server_timing: Option<String>,
    pub(super) entry: Option<Entry>,
}

impl Tracer {
    /// Adds a span that has begun and returns its number, or 0 if there are too many.
    pub(super) fn follow(&mut self, kind: ActiveKind, span: Span, scope: u32) -> u32 {
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
            kind,
            span,
            anchor_ms: self.timeline.anchor_ms(),
            scope,
            before: 0,
            pending: 0,
            released: false,
            kept: kind != ActiveKind::Action,
            is_named: false,
            is_superseded: false,
            #[cfg(feature = "navigation")]
            url_changed: false,
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

    /// Returns a new number.
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

    /// Removes a span from the list.
    pub(super) fn take(&mut self, number: u32) -> Option<Active> {
        let index = self.active.iter().position(|active| active.number == number)?;
        Some(self.active.swap_remove(index))
    }

    /// Handles the end of a child of a scope.
    pub(super) fn child_ended(&mut self, scope: u32) {
        let now_ms = self.timeline.page_ms();
        if let Some(scope) = self.find(scope) {
            scope.pending = scope.pending.saturating_sub(1);
            scope.last_ms = now_ms;
            // Code that handles the response in this task may send the next request.
            self.settle_soon();
        }
    }

    /// Marks a scope as to be recorded, because it has a child or an event.
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

    /// Returns the ambient scope, if it is of this kind.
    pub(super) fn ambient_of(&mut self, kind: ActiveKind) -> Option<&mut Active> {
        self.find(self.ambient).filter(|active| active.kind == kind)
    }

    /// Returns whether the page load has not ended.
    pub(super) fn is_loading(&self) -> bool {
        self.active.iter().any(|active| active.kind == ActiveKind::PageLoad)
    }

    /// Makes a span the ambient scope, the parent of spans begun from now on without a context. An earlier page load or
    /// route change ends. An action is temporary and restores the scope before it.
    pub(super) fn begin_scope(&mut self, kind: ActiveKind, mut span: Span, scope: u32) -> u32 {
        // An action restores the scope before all actions.
        let mut before = match self.ambient_of(ActiveKind::Action) {
            Some(earlier) => earlier.before,
            None => self.ambient,
        };
        if kind != ActiveKind::Action {
            for earlier in [ActiveKind::PageLoad, ActiveKind::Route] {
                while let Some(one) = self.active.iter_mut().find(|one| one.kind == earlier) {
                    // The URL may already be that of the next route.
                    one.is_superseded = true;
                    let number = one.number;
                    self.end_scope(number);
                }
            }
            before = 0;
            span.attributes.text("url.path", &self.path());
        }
        let number = self.follow(kind, span, scope);
        if let Some(scope) = self.find(number) {
            scope.before = before;
            self.ambient = number;
        }
        number
    }

    /// Lets a scope end once its children have, from the next task on: spans begun in this task are still children.
    pub(super) fn release(&mut self, number: u32) {
        if let Some(scope) = self.find(number) {
            scope.released = true;
        }
        self.settle_soon();
    }

    /// Sets a timer that ends settled scopes in the next task.
    pub(super) fn settle_soon(&mut self) {
        let now_ms = self.timeline.page_ms();
        if self.settles_ms <= now_ms && js::after(0.0, Tag::Settle, 0) {
            self.settles_ms = now_ms + TIMER_MS;
        }
    }

    /// Ends the scopes that have settled.
    pub(super) fn settle(&mut self) {
        self.settles_ms = 0.0;
        let loaded = js::get(&self.document, Name::ReadyState) == "complete";
        while let Some(number) = self
            .active
            .iter()
            .find(|one| one.released && one.pending == 0 && (loaded || one.kind != ActiveKind::PageLoad))
            .map(|one| one.number)
        {
            self.end_scope(number);
        }
    }

    /// Ends a scope at the time of the last activity in it.
    pub(super) fn end_scope(&mut self, number: u32) {
        let Some(mut scope) = self.take(number) else { return };
        if self.ambient == number {
            self.ambient = scope.before;
        }
        if scope.kept {
            let mut last_ms = scope.last_ms;
            if scope.kind == ActiveKind::PageLoad {
                last_ms = self.page_loaded(&mut scope, last_ms);
            }
            // A router changes the URL after it has built the page: now it is the right one.
            if scope.kind != ActiveKind::Action && !scope.is_superseded {
                scope.span.attributes.set("url.path", self.path());
            }
            scope.span.end_ns = unix_ns(scope.anchor_ms, last_ms);
            self.record(&mut scope.span);
        }
        self.child_ended(scope.scope);
    }

    /// Ends a span of the application, now.
    pub(super) fn end_span(&mut self, number: u32) {
        let Some(mut open) = self.take(number) else { return };
        open.span.end_ns = unix_ns(open.anchor_ms, self.timeline.page_ms());
        self.record(&mut open.span);
        self.child_ended(open.scope);
    }

    /// Creates a span that starts at a time of the performance timeline.
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
