//! [`TraceFuture`]: runs the inner service inside the span.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode};
use http_body::Body;

#[cfg(feature = "upgrades")]
use crate::upgrade::Bridge;
use crate::{
    body::TraceBody,
    in_flight::{End, InFlight},
};

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send>;

/// The traced part of a request. Boxed, because it moves from future to future to body, and each move would copy it.
pub(crate) struct Traced {
    pub(crate) in_flight: InFlight,
    #[cfg(feature = "upgrades")]
    pub(crate) bridge: Option<Bridge>,
    #[cfg(feature = "upgrades")]
    pub(crate) is_connect: bool,
}

pin_project_lite::pin_project! {
    /// The response future of [`TraceService`](crate::TraceService). Resolves to a response whose body carries the
    /// span.
    pub struct TraceFuture<F> {
        // `None` if the service panicked before it returned a future; `panic` then holds the payload.
        #[pin]
        pub(crate) inner: Option<F>,
        pub(crate) panic: Option<Payload>,
        pub(crate) traced: Option<Box<Traced>>,
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
    B: Body,
{
    type Output = Result<Response<TraceBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let outcome = match (this.inner.as_mut().as_pin_mut(), this.traced.as_ref()) {
            (Some(inner), Some(traced)) => {
                // A future that panicked is not polled again, so its broken state is never observed.
                let poll = AssertUnwindSafe(|| traced.in_flight.span.in_scope(|| inner.poll(cx)));
                match catch_unwind(poll) {
                    Ok(polled) => Ok(ready!(polled)),
                    Err(panic) => Err(panic),
                }
            }
            (Some(inner), None) => {
                return inner.poll(cx).map(|result| result.map(|response| response.map(TraceBody::untraced)));
            }
            (None, _) => Err(this.panic.take().unwrap_or_else(|| Box::new("polled after it panicked"))),
        };
        let Some(traced) = this.traced.take() else {
            // Polled again after completion, where futures are allowed to panic.
            return Poll::Pending;
        };
        if outcome.is_err() {
            this.inner.set(None);
        }
        Poll::Ready(traced.respond(outcome))
    }
}

impl Traced {
    fn respond<B: Body, E>(
        mut self: Box<Self>,
        outcome: Result<Result<Response<B>, E>, Payload>,
    ) -> Result<Response<TraceBody<B>>, E> {
        match outcome {
            Ok(Ok(response)) => {
                let (mut parts, body) = response.into_parts();
                self.in_flight.respond(&mut parts, body.size_hint().exact());
                #[cfg(feature = "upgrades")]
                if let Some(bridge) = self.bridge.take_if(|_| is_upgraded(parts.status, self.is_connect)) {
                    bridge.copy(self.in_flight);
                    return Ok(Response::from_parts(parts, TraceBody::untraced(body)));
                }
                Ok(Response::from_parts(parts, TraceBody::traced(body, self)))
            }
            Ok(Err(error)) => {
                self.in_flight.end(&End::Failed(std::any::type_name::<E>()));
                Err(error)
            }
            Err(panic) => {
                self.in_flight.record_panic(&*panic);
                if !self.in_flight.settings.catches_panics {
                    self.in_flight.end(&End::Panicked);
                    resume_unwind(panic);
                }
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                let (mut parts, ()) = response.into_parts();
                self.in_flight.respond(&mut parts, Some(0));
                self.in_flight.end(&End::Complete);
                Ok(Response::from_parts(parts, TraceBody::empty()))
            }
        }
    }
}

#[cfg(feature = "upgrades")]
fn is_upgraded(status: StatusCode, is_connect: bool) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success())
}
