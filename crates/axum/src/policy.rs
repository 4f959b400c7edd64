//! The layer's configurable decisions. Each is a trait that closures and a `Default*` type implement.

use std::{any::Any, borrow::Cow};

use axum::extract::MatchedPath;
use http::{request, response};
use opentelemetry::{KeyValue, trace::SpanRef};

/// How the server span uses the trace context that the client sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteParent {
    /// A valid `traceparent` becomes the parent of the server span.
    #[default]
    Always,
    /// Like [`Always`](Self::Always) for requests that [`TrustParent`] trusts, and like [`Never`](Self::Never) for all
    /// others. Use it on public addresses, where any client can send any trace id.
    Trusted,
    /// The server span is a root span; the client's span becomes a link.
    Never,
}

/// A policy that returns the [`RemoteParent`] of each request. A [`RemoteParent`] value implements it for all requests.
pub trait RemoteParentPolicy: Send + Sync + 'static {
    /// Returns how the trace context of this request is used.
    fn remote_parent(&self, request: &request::Parts) -> RemoteParent;
}

impl RemoteParentPolicy for RemoteParent {
    fn remote_parent(&self, _: &request::Parts) -> RemoteParent {
        *self
    }
}

impl<F> RemoteParentPolicy for F
where
    F: Fn(&request::Parts) -> RemoteParent + Send + Sync + 'static,
{
    fn remote_parent(&self, request: &request::Parts) -> RemoteParent {
        self(request)
    }
}

/// A policy that decides whether a request may continue a trace, for [`RemoteParent::Trusted`].
pub trait TrustParent: Send + Sync + 'static {
    /// Returns whether the request carries proof that it is from a known client, such as a signed token.
    fn trusts(&self, request: &request::Parts) -> bool;
}

impl<F> TrustParent for F
where
    F: Fn(&request::Parts) -> bool + Send + Sync + 'static,
{
    fn trusts(&self, request: &request::Parts) -> bool {
        self(request)
    }
}

/// A [`TrustParent`] that trusts no request.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultTrustParent;

impl TrustParent for DefaultTrustParent {
    fn trusts(&self, _: &request::Parts) -> bool {
        false
    }
}

/// A predicate that selects the requests to trace and measure.
pub trait Filter: Send + Sync + 'static {
    /// Returns whether this request is traced.
    fn traces(&self, request: &request::Parts) -> bool;
}

impl<F> Filter for F
where
    F: Fn(&request::Parts) -> bool + Send + Sync + 'static,
{
    fn traces(&self, request: &request::Parts) -> bool {
        self(request)
    }
}

/// A [`Filter`] that traces every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultFilter;

impl Filter for DefaultFilter {
    fn traces(&self, _: &request::Parts) -> bool {
        true
    }
}

/// A [`Filter`] that excludes some paths.
#[derive(Clone, Debug, Default)]
pub struct ExceptPaths(Vec<String>);

impl ExceptPaths {
    /// Excludes these paths and everything below them: `/livez` excludes `/livez` and `/livez/db`, but not `/livezzz`.
    #[must_use]
    pub fn new<P: Into<String>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }
}

impl Filter for ExceptPaths {
    fn traces(&self, request: &request::Parts) -> bool {
        let path = request.uri.path();
        !self.0.iter().any(|except| {
            let rest = path.strip_prefix(except.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// The source of a request's `http.route`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// The router's template, or no template if the router matched no route.
    Matched,
    /// This template. An application must have few different ones, because the template is a metric label, which
    /// accepts at most 1,000 values of up to 256 bytes.
    Template(Cow<'static, str>),
    /// No template.
    Nothing,
}

/// A function from a request to its route template, such as `/users/{id}`.
pub trait RouteTemplate: Send + Sync + 'static {
    /// Returns the template. `matched` is the router's template, if it matched a route.
    fn template(&self, matched: Option<&str>, request: &request::Parts) -> Route;
}

impl<F> RouteTemplate for F
where
    F: Fn(Option<&str>, &request::Parts) -> Route + Send + Sync + 'static,
{
    fn template(&self, matched: Option<&str>, request: &request::Parts) -> Route {
        self(matched, request)
    }
}

/// A [`RouteTemplate`] that uses the router's template.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultRouteTemplate;

impl RouteTemplate for DefaultRouteTemplate {
    fn template(&self, _: Option<&str>, _: &request::Parts) -> Route {
        Route::Matched
    }
}

/// Returns the template that axum's router matched, if it is known where the layer is installed.
pub(crate) fn matched(request: &request::Parts) -> Option<&str> {
    request.extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

/// A callback that adds request attributes that the semantic conventions do not define.
pub trait OnRequest: Send + Sync + 'static {
    /// Adds attributes to those with which the span starts, and which the sampler can read. Do not add a key that is
    /// already present.
    fn on_request(&self, request: &request::Parts, attributes: &mut Vec<KeyValue>);
}

impl<F> OnRequest for F
where
    F: Fn(&request::Parts, &mut Vec<KeyValue>) + Send + Sync + 'static,
{
    fn on_request(&self, request: &request::Parts, attributes: &mut Vec<KeyValue>) {
        self(request, attributes);
    }
}

/// An [`OnRequest`] that adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultOnRequest;

impl OnRequest for DefaultOnRequest {
    fn on_request(&self, _: &request::Parts, _: &mut Vec<KeyValue>) {}
}

/// A callback that adds response attributes that the semantic conventions do not define, and response headers.
pub trait OnResponse: Send + Sync + 'static {
    /// Adds attributes to the span and headers to the response, when the response head is available. The attributes
    /// and the status that the semantic conventions define are set later, when the span ends.
    fn on_response(&self, response: &mut response::Parts, span: &SpanRef<'_>);
}

impl<F> OnResponse for F
where
    F: Fn(&mut response::Parts, &SpanRef<'_>) + Send + Sync + 'static,
{
    fn on_response(&self, response: &mut response::Parts, span: &SpanRef<'_>) {
        self(response, span);
    }
}

/// An [`OnResponse`] that adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultOnResponse;

impl OnResponse for DefaultOnResponse {
    fn on_response(&self, _: &mut response::Parts, _: &SpanRef<'_>) {}
}

/// Returns the panic message, if the payload is a string.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_subpaths_are_excluded() {
        let filter = ExceptPaths::new(["/livez", "/assets/"]);
        let traces = |path: &str| filter.traces(&http::Request::get(path).body(()).unwrap().into_parts().0);
        for path in ["/livez", "/livez/db", "/assets", "/assets/a.css"] {
            assert!(!traces(path), "{path}");
        }
        for path in ["/", "/livezzz", "/x/livez"] {
            assert!(traces(path), "{path}");
        }
    }
}
