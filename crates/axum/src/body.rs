//! [`TraceBody`]: ends the span with the last byte of the response.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use crate::{future::Traced, in_flight::End};

pin_project_lite::pin_project! {
    /// A response body that keeps the request's span open until the body has been sent or dropped.
    pub struct TraceBody<B> {
        // `None` in the response to a panic.
        #[pin]
        inner: Option<B>,
        traced: Option<Box<Traced>>,
    }
}

impl<B> std::fmt::Debug for TraceBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceBody").finish_non_exhaustive()
    }
}

impl<B> TraceBody<B> {
    pub(crate) const fn untraced(inner: B) -> Self {
        Self { inner: Some(inner), traced: None }
    }

    pub(crate) const fn empty() -> Self {
        Self { inner: None, traced: None }
    }
}

impl<B: Body> TraceBody<B> {
    /// Ends the span at once if the body is empty or will not be polled.
    pub(crate) fn traced(inner: B, traced: Box<Traced>) -> Self {
        if inner.is_end_stream() || traced.in_flight.is_complete() {
            traced.in_flight.end(&End::Complete);
            return Self::untraced(inner);
        }
        Self { inner: Some(inner), traced: Some(traced) }
    }
}

impl<B: Body> Body for TraceBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let Some(mut inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let Some(in_flight) = this.traced.as_mut().map(|traced| &mut traced.in_flight) else {
            return inner.poll_frame(cx);
        };
        // A body that panicked is not polled again: the server drops it.
        let poll = AssertUnwindSafe(|| in_flight.span.in_scope(|| inner.as_mut().poll_frame(cx)));
        let polled = match catch_unwind(poll) {
            Ok(polled) => ready!(polled),
            Err(panic) => {
                if let Some(mut traced) = this.traced.take() {
                    traced.in_flight.record_panic(&*panic);
                    traced.in_flight.end(&End::Panicked);
                }
                // Some bytes have already been sent. Breaking the connection shows the client that the body is
                // incomplete.
                resume_unwind(panic);
            }
        };
        let end = match &polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    in_flight.sent(u64::try_from(data.remaining()).unwrap_or(u64::MAX));
                }
                // Servers do not poll again when they know that this frame was the last.
                (inner.is_end_stream() || in_flight.is_complete()).then_some(End::Complete)
            }
            Some(Err(_)) => Some(End::Failed(std::any::type_name::<B::Error>())),
            None => Some(End::Complete),
        };
        if let Some(end) = end
            && let Some(traced) = this.traced.take()
        {
            traced.in_flight.end(&end);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
