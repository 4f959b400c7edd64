//! [`TraceFuture`]: the request is being handled.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use tracing::Span;

use crate::{
    body::TraceBody,
    layer::Settings,
    make_span::Caller,
    on_response::{on_cancel, on_error, on_response},
    service::Received,
};

/// A traced request whose response has not begun. Dropped before that, it was cancelled.
pub(crate) struct InFlight {
    pub(crate) span: Span,
    pub(crate) context: Caller,
    pub(crate) received: Received,
    pub(crate) settings: Arc<Settings>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        on_cancel(&self.span);
    }
}

impl InFlight {
    /// The request came to its end: there is nothing left to be cancelled.
    fn take_span(mut self) -> Span {
        std::mem::replace(&mut self.span, Span::none())
    }
}

pin_project_lite::pin_project! {
    /// Resolves to the response, whose body then carries the span.
    pub struct TraceFuture<F> {
        #[pin]
        pub(crate) inner: F,
        pub(crate) in_flight: Option<InFlight>,
    }
}

impl<F> std::fmt::Debug for TraceFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<TraceBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = match &this.in_flight {
            Some(in_flight) => {
                let inner = this.inner;
                in_flight.span.in_scope(|| inner.poll(cx))
            }
            None => this.inner.poll(cx),
        };
        let result = ready!(polled);
        let Some(in_flight) = this.in_flight.take() else {
            return Poll::Ready(result.map(|response| response.map(TraceBody::untraced)));
        };
        Poll::Ready(match result {
            Ok(mut response) => {
                on_response(&in_flight, &mut response);
                let span = in_flight.take_span();
                Ok(response.map(|body| TraceBody::traced(body, span)))
            }
            Err(error) => {
                on_error(&in_flight.span);
                drop(in_flight.take_span());
                Err(error)
            }
        })
    }
}
