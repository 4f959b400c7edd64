//! What a person did, as the root of what follows from it.

use std::{
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use throughline_context::keys;

use super::{Tracer, clock, platform, tracer};
use crate::{
    context::{self, Context},
    span::{Kind, SpanData},
};

/// A span of this page that ends when it is dropped.
pub(super) struct OpenSpan {
    tracer: Rc<Tracer>,
    span: Option<SpanData>,
    anchor_ms: f64,
}

impl OpenSpan {
    pub(super) fn new(tracer: &Rc<Tracer>, span: SpanData) -> Self {
        Self { anchor_ms: tracer.clock.anchor_ms(), tracer: Rc::clone(tracer), span: Some(span) }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.end_ns = clock::unix_ns(self.anchor_ms, self.tracer.clock.page_ms());
            self.tracer.record(span);
        }
    }
}

pin_project_lite::pin_project! {
    /// A future that is a user action: see [`action`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Action<F> {
        context: Context,
        open: Option<OpenSpan>,
        #[pin]
        future: F,
    }
}

/// `future` as the consequence of a user action.
///
/// The span begins now, is named `{kind} {name}`, is the parent of every request that `future` makes, and ends with it, or
/// when it is dropped. `kind` is `click`, `submit` or `key`; `name` is the stable name of what was acted upon, never a text
/// that somebody typed.
pub fn action<F: Future>(kind: &str, name: &str, future: F) -> Action<F> {
    let Some(tracer) = tracer() else {
        return Action { context: Context::default(), open: None, future };
    };
    let mut span = tracer.start(&context::attached().unwrap_or_default(), format!("{kind} {name}"), Kind::Internal);
    span.attributes.set(keys::ACTION_KIND, kind.to_owned());
    span.attributes.set(keys::ACTION_NAME, name.to_owned());
    span.attributes.set("url.path", platform::path());
    Action {
        context: Context { span: Some(span.context), scope: None },
        open: Some(OpenSpan::new(&tracer, span)),
        future,
    }
}

impl<F: Future> Future for Action<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        let polled = if this.context.span.is_some() { this.context.run(|| future.poll(cx)) } else { future.poll(cx) };
        if polled.is_ready() {
            drop(this.open.take());
        }
        polled
    }
}
