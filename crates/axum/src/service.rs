//! [`TraceService`]: one request comes in.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use http::{Request, Response};
use tower_service::Service;

use crate::{
    body::TraceBody,
    future::{InFlight, TraceFuture},
    layer::Settings,
    make_span::make_span,
};

/// Made by [`TraceLayer`](crate::TraceLayer).
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

/// When a request was received: by the wall clock for others, by the monotonic one for lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) unix_ns: i64,
    pub(crate) instant: Instant,
}

impl Received {
    fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_ns: i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX), instant: Instant::now() }
    }

    /// Now, in Unix nanoseconds, at the same distance as by the monotonic clock: a wall clock that is set while a request is
    /// handled does not make its length negative.
    pub(crate) fn until_now_ns(self) -> i64 {
        self.unix_ns.saturating_add(i64::try_from(self.instant.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TraceService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<TraceBody<ResBody>>;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let received = Received::now();
        let (parts, body) = request.into_parts();
        let in_flight = self.settings.filter.traces(&parts).then(|| {
            let (span, context) = make_span(&parts, &self.settings);
            InFlight { span, context, received, settings: Arc::clone(&self.settings) }
        });
        let request = Request::from_parts(parts, body);
        match in_flight {
            Some(in_flight) => {
                let inner = in_flight.span.in_scope(|| self.inner.call(request));
                TraceFuture { inner, in_flight: Some(in_flight) }
            }
            None => TraceFuture { inner: self.inner.call(request), in_flight: None },
        }
    }
}
