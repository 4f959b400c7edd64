//! Spans created by the application: user actions and others.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use throughline_context::keys;

use super::{Tracer, active::ActiveKind, with};
use crate::{
    context::{self, Context},
    record::{Kind, Span, SpanContext},
};

/// A guard that ends an open span when it is dropped.
pub(crate) struct SpanGuard(u32);

impl Drop for SpanGuard {
    fn drop(&mut self) {
        with(|tracer| tracer.end_span(self.0));
    }
}

impl Tracer {
    /// Opens a span and returns its context and the guard that ends it.
    fn open(&mut self, span: Span, scope: u32) -> (Context, SpanGuard) {
        let context = Context { span: Some(span.context), scope: 0 };
        (context, SpanGuard(self.follow(ActiveKind::Span, span, scope)))
    }

    /// Creates the span of a user action.
    pub(super) fn action_span(&mut self, parent: Option<SpanContext>, kind: &str, name: &str) -> Span {
        let mut span = self.start(parent, two_words(kind, name), Kind::Internal);
        span.attributes.text(keys::ACTION_KIND, kind);
        span.attributes.text(keys::ACTION_NAME, name);
        span.attributes.text("url.path", &self.path());
        span
    }
}

pub(super) fn two_words(first: &str, second: &str) -> String {
    let mut text = first.to_owned();
    text.push(' ');
    text.push_str(second);
    text
}

/// Begins the span of a `tracing` span, in the context `outer` or else the current one.
#[cfg(feature = "tracing")]
pub(crate) fn begin(outer: Option<Context>, name: &'static str) -> Option<(Context, SpanGuard)> {
    with(|tracer| {
        let parent = outer.unwrap_or_else(|| tracer.current());
        let span = tracer.start(parent.span, name.to_owned(), Kind::Internal);
        tracer.open(span, parent.scope)
    })
}

/// Calls `f` with an open span.
#[cfg(feature = "tracing")]
pub(crate) fn with_open(guard: &SpanGuard, f: impl FnOnce(&mut Span)) {
    with(|tracer| {
        if let Some(open) = tracer.find(guard.0) {
            f(&mut open.span);
        }
    });
}

pin_project_lite::pin_project! {
    /// A future with a span, which ends with it. Created by [`action`] and [`span`].
    #[must_use = "futures do nothing unless polled"]
    pub struct InSpan<F> {
        open: Option<(Context, SpanGuard)>,
        #[pin]
        future: F,
    }
}

/// Wraps `future` in the span of a user action.
///
/// The span is named `{kind} {name}`. It begins now, is the parent of every request that `future` makes, and ends when
/// `future` is ready or dropped. `kind` is `click`, `submit` or `key`; `name` is the stable name of the element, never
/// text that a user typed. The span replaces the one that is created automatically for a click.
pub fn action<F: Future>(kind: &str, name: &str, future: F) -> InSpan<F> {
    let open = with(|tracer| {
        let parent = match context::attached() {
            Some(attached) => attached,
            // Replaces the automatic span, unless that one has a child already: without one it is not recorded.
            None => match tracer.ambient_of(ActiveKind::Action) {
                Some(scope) if scope.kept => tracer.ambient_context(),
                _ => Context::default(),
            },
        };
        let span = tracer.action_span(parent.span, kind, name);
        tracer.open(span, parent.scope)
    });
    InSpan { open, future }
}

/// Wraps `future` in a span named `name`.
///
/// The span is a child of the [current](crate::current) context and the parent of every request that `future` makes. It
/// begins now, and ends when `future` is ready or dropped.
pub fn span<F: Future>(name: &str, future: F) -> InSpan<F> {
    let open = with(|tracer| {
        let parent = tracer.current();
        let span = tracer.start(parent.span, name.to_owned(), Kind::Internal);
        tracer.open(span, parent.scope)
    });
    InSpan { open, future }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        let polled = match this.open {
            Some((context, _)) => context.run(|| future.poll(cx)),
            None => future.poll(cx),
        };
        if polled.is_ready() {
            drop(this.open.take());
        }
        polled
    }
}
