//! [`TraceBody`]: the response is on its way; the span ends with its last byte.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use crate::in_flight::{End, InFlight};

pin_project_lite::pin_project! {
    /// A response body that keeps the request's span open until it has been sent or dropped.
    pub struct TraceBody<B> {
        // Nothing in the answer to a panic.
        #[pin]
        inner: Option<B>,
        in_flight: Option<InFlight>,
    }
}

impl<B> std::fmt::Debug for TraceBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceBody").finish_non_exhaustive()
    }
}

impl<B> TraceBody<B> {
    pub(crate) const fn untraced(inner: B) -> Self {
        Self { inner: Some(inner), in_flight: None }
    }

    pub(crate) const fn empty() -> Self {
        Self { inner: None, in_flight: None }
    }
}

impl<B: Body> TraceBody<B> {
    /// A body that is empty, or that nobody will ask for, is at its end.
    pub(crate) fn traced(inner: B, in_flight: InFlight) -> Self {
        if inner.is_end_stream() || in_flight.is_complete() {
            in_flight.end(&End::Complete);
            return Self::untraced(inner);
        }
        Self { inner: Some(inner), in_flight: Some(in_flight) }
    }
}

impl<B: Body> Body for TraceBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let Some(mut inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let Some(in_flight) = this.in_flight.as_mut() else { return inner.poll_frame(cx) };
        let polled = ready!(in_flight.span.in_scope(|| inner.as_mut().poll_frame(cx)));
        let end = match &polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    in_flight.sent(u64::try_from(data.remaining()).unwrap_or(u64::MAX));
                }
                // Servers do not ask again when they know that this was the last.
                (inner.is_end_stream() || in_flight.is_complete()).then_some(End::Complete)
            }
            Some(Err(_)) => Some(End::Failed(std::any::type_name::<B::Error>())),
            None => Some(End::Complete),
        };
        if let Some(end) = end
            && let Some(in_flight) = this.in_flight.take()
        {
            in_flight.end(&end);
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
