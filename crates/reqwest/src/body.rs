//! [`TracedBody`]: ends the span with the last byte of the response.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tracing::Span;

use crate::span::on_error;

pin_project_lite::pin_project! {
    /// A response body that keeps the request's span open until the body has been read or dropped.
    pub(crate) struct TracedBody {
        #[pin]
        inner: reqwest::Body,
        span: Option<Span>,
        // The status was already an error.
        failed: bool,
    }
}

impl TracedBody {
    pub(crate) fn new(inner: reqwest::Body, span: Span, failed: bool) -> Self {
        // An empty body is never polled.
        let span = (!inner.is_end_stream()).then_some(span);
        Self { inner, span, failed }
    }
}

impl Body for TracedBody {
    type Data = bytes::Bytes;
    type Error = reqwest::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let inner = this.inner;
        let polled = match this.span {
            Some(span) => span.in_scope(|| inner.poll_frame(cx)),
            None => inner.poll_frame(cx),
        };
        match &polled {
            Poll::Ready(None) => drop(this.span.take()),
            Poll::Ready(Some(Err(error))) => {
                if let Some(span) = this.span.take()
                    && !*this.failed
                {
                    on_error(&span, error);
                }
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
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
