//! [`TraceBody`]: the response is on its way; the span ends with its last byte.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tracing::Span;

pin_project_lite::pin_project! {
    /// A response body that keeps the request's span open until it has been sent or dropped.
    pub struct TraceBody<B> {
        #[pin]
        inner: B,
        span: Option<Span>,
    }
}

impl<B> std::fmt::Debug for TraceBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceBody").finish_non_exhaustive()
    }
}

impl<B> TraceBody<B> {
    pub(crate) const fn traced(inner: B, span: Span) -> Self {
        Self { inner, span: Some(span) }
    }

    pub(crate) const fn untraced(inner: B) -> Self {
        Self { inner, span: None }
    }
}

impl<B: Body> Body for TraceBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let inner = this.inner;
        let polled = match this.span {
            Some(span) => span.in_scope(|| inner.poll_frame(cx)),
            None => inner.poll_frame(cx),
        };
        if let Poll::Ready(None | Some(Err(_))) = polled {
            drop(this.span.take());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
