//! [`TraceService`]: starts the span when a request is received.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

#[cfg(feature = "upgrades")]
use crate::upgrade::Bridge;
use crate::{
    body::TraceBody,
    future::{TraceFuture, Traced},
    in_flight::InFlight,
    layer::Settings,
    received::Received,
};

/// A [`Service`] that traces the requests to its inner service. Created by [`TraceLayer`](crate::TraceLayer).
#[derive(Clone)]
pub struct TraceService<S> {
    pub(crate) inner: S,
    pub(crate) settings: Arc<Settings>,
}

impl<S: std::fmt::Debug> std::fmt::Debug for TraceService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TraceService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: Body,
    ResBody: Body,
{
    type Response = Response<TraceBody<ResBody>>;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let received = Received::now();
        #[cfg_attr(not(feature = "upgrades"), expect(unused_mut, reason = "an upgrade changes the extensions"))]
        let (mut parts, body) = request.into_parts();
        if !self.settings.filter.traces(&parts) {
            let inner = self.inner.call(Request::from_parts(parts, body));
            return TraceFuture { inner: Some(inner), panic: None, traced: None };
        }
        let in_flight = InFlight::begin(&parts, body.size_hint().exact(), received, &self.settings);
        #[cfg(feature = "upgrades")]
        let bridge = match self.settings.traces_upgrades {
            true => Bridge::install(&mut parts.extensions),
            false => None,
        };
        let traced = Box::new(Traced {
            in_flight,
            #[cfg(feature = "upgrades")]
            bridge,
            #[cfg(feature = "upgrades")]
            is_connect: parts.method == http::Method::CONNECT,
        });
        let request = Request::from_parts(parts, body);
        // The inner service may be called again after a panic; tower-http's `CatchPanic` makes the same assumption.
        let call = AssertUnwindSafe(|| traced.in_flight.span.in_scope(|| self.inner.call(request)));
        let (inner, panic) = match catch_unwind(call) {
            Ok(inner) => (Some(inner), None),
            Err(panic) => (None, Some(panic)),
        };
        TraceFuture { inner, panic, traced: Some(traced) }
    }
}
