//! Spans that the application asks for: a user action, and any other.

use std::{
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use throughline_context::keys;

use super::{Tracer, current, platform, scope::Root, tracer};
use crate::{
    clock::unix_ns,
    context::{self, Context, Scope},
    record::{Kind, Span},
};

/// A span of the application that has not ended.
pub(super) struct Open {
    number: u32,
    pub(super) span: Span,
    anchor_ms: f64,
    scope: Option<Rc<dyn Scope>>,
}

impl Open {
    pub(super) fn end(mut self, tracer: &Rc<Tracer>) {
        self.span.end_ns = unix_ns(self.anchor_ms, tracer.timeline.page_ms());
        tracer.record(self.span);
        if let Some(scope) = self.scope {
            scope.end();
        }
    }
}

/// Ends an open span when it is dropped.
pub(crate) struct Ends(u32);

impl Drop for Ends {
    fn drop(&mut self) {
        let Some(tracer) = tracer() else { return };
        let found = {
            let mut open = tracer.open.borrow_mut();
            open.iter().position(|one| one.number == self.0).map(|index| open.remove(index))
        };
        if let Some(open) = found {
            open.end(&tracer);
        }
    }
}

/// At most so many spans of the application are open at once; further ones are counted as lost.
const MAX_OPEN: usize = 4_096;

/// Opens a span within `parent`: the context in it, and what ends it.
pub(crate) fn open(tracer: &Rc<Tracer>, parent: Context, span: Span) -> (Context, Option<Ends>) {
    let context = Context { span: Some(span.context), scope: None };
    if tracer.open.borrow().len() >= MAX_OPEN {
        tracer.delivery.borrow_mut().count_dropped(1);
        return (context, None);
    }
    if let Some(scope) = &parent.scope {
        scope.begin();
    }
    let number = tracer.number();
    let open = Open { number, span, anchor_ms: tracer.timeline.anchor_ms(), scope: parent.scope };
    tracer.open.borrow_mut().push(open);
    (context, Some(Ends(number)))
}

/// Begins a span of `tracing`, within another of them or within what is current.
#[cfg(feature = "tracing")]
pub(crate) fn begin(outer: Option<Context>, name: &'static str) -> Option<(Context, Ends)> {
    let tracer = tracer()?;
    let parent = outer.unwrap_or_else(current);
    let span = tracer.start(&parent, name, Kind::Internal);
    let (context, ends) = open(&tracer, parent, span);
    Some((context, ends?))
}

/// Does something to an open span.
#[cfg(feature = "tracing")]
pub(crate) fn with_open(ends: &Ends, f: impl FnOnce(&mut Span)) {
    if let Some(tracer) = tracer()
        && let Some(open) = tracer.open.borrow_mut().iter_mut().find(|open| open.number == ends.0)
    {
        f(&mut open.span);
    }
}

pin_project_lite::pin_project! {
    /// A future that is a span: see [`action`] and [`span`].
    #[must_use = "futures do nothing unless polled"]
    pub struct InSpan<F> {
        context: Option<Context>,
        ends: Option<Ends>,
        #[pin]
        future: F,
    }
}

/// `future` as the consequence of a user action.
///
/// The span begins now, is named `{kind} {name}`, is the parent of every request that `future` makes, and ends with it, or
/// when it is dropped. `kind` is `click`, `submit` or `key`; `name` is the stable name of what was acted upon, never a text
/// that somebody typed. It takes the place of the span that is made for a click by itself.
pub fn action<F: Future>(kind: &str, name: &str, future: F) -> InSpan<F> {
    let Some(tracer) = tracer() else {
        return InSpan { context: None, ends: None, future };
    };
    let by_itself = tracer.ambient.borrow().clone().filter(|scope| scope.root() == Root::Action);
    let parent = match (context::attached(), by_itself) {
        (Some(attached), _) => attached,
        (None, Some(scope)) if scope.is_kept() => scope.context(),
        (None, Some(scope)) => {
            scope.cancel();
            Context::default()
        }
        (None, None) => Context::default(),
    };
    let span = start(&tracer, &parent, kind, name);
    let (context, ends) = open(&tracer, parent, span);
    InSpan { context: Some(context), ends, future }
}

/// The span of a user action.
pub(super) fn start(tracer: &Tracer, parent: &Context, kind: &str, name: &str) -> Span {
    let mut span = tracer.start(parent, action_name(kind, name), Kind::Internal);
    span.attributes.text(keys::ACTION_KIND, kind);
    span.attributes.text(keys::ACTION_NAME, name);
    span.attributes.text("url.path", &platform::path());
    span
}

pub(super) fn action_name(kind: &str, name: &str) -> String {
    let mut text = kind.to_owned();
    text.push(' ');
    text.push_str(name);
    text
}

/// `future` as a span of this name, a child of the [current](crate::current) context, and the parent of every request that
/// `future` makes. It begins now, and ends with the future or when that is dropped.
pub fn span<F: Future>(name: &'static str, future: F) -> InSpan<F> {
    let Some(tracer) = tracer() else {
        return InSpan { context: None, ends: None, future };
    };
    let parent = current();
    let span = tracer.start(&parent, name, Kind::Internal);
    let (context, ends) = open(&tracer, parent, span);
    InSpan { context: Some(context), ends, future }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        let polled = match this.context {
            Some(context) => context.run(|| future.poll(cx)),
            None => future.poll(cx),
        };
        if polled.is_ready() {
            drop(this.ends.take());
        }
        polled
    }
}
