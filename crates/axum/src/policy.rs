//! What the layer is told to do. Each decision is a trait; closures implement it, and so does a `Default*` type.

use std::{any::Any, borrow::Cow};

use axum::extract::MatchedPath;
use http::{request, response};
use opentelemetry::{KeyValue, trace::SpanRef};

/// Whether a trace that a client began is continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteParent {
    /// A valid `traceparent` becomes the parent of the server span.
    #[default]
    Always,
    /// As [`Always`](Self::Always) for requests that [`TrustParent`] trusts, and as [`Never`](Self::Never) for all others. For
    /// addresses that are open to the public, where any client may claim any trace.
    Trusted,
    /// The server span is a root of its own; the client's span becomes a link.
    Never,
}

/// Which [`RemoteParent`] holds for a request. A [`RemoteParent`] itself holds for all.
pub trait RemoteParentPolicy: Send + Sync + 'static {
    /// What to do with the context of this request.
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

/// Whether a request proves that it may continue a trace, for [`RemoteParent::Trusted`].
pub trait TrustParent: Send + Sync + 'static {
    /// Whether the request carries something that only a known client can have, such as a signed token.
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

/// Trusts no request.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultTrustParent;

impl TrustParent for DefaultTrustParent {
    fn trusts(&self, _: &request::Parts) -> bool {
        false
    }
}

/// Which requests are traced and measured.
pub trait Filter: Send + Sync + 'static {
    /// Whether this request becomes a span.
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

/// Traces every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultFilter;

impl Filter for DefaultFilter {
    fn traces(&self, _: &request::Parts) -> bool {
        true
    }
}

/// Traces all but some paths.
#[derive(Clone, Debug, Default)]
pub struct ExceptPaths(Vec<String>);

impl ExceptPaths {
    /// All but these paths and what is below them: `/livez` stands for `/livez` and `/livez/db`, not for `/livezzz`.
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

/// What a request's `http.route` is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// The template of the router; none if the router has matched no route.
    Matched,
    /// This template. It must be one of few: it is a label of metrics, which accepts at most 1,000 values of 256 bytes.
    Template(Cow<'static, str>),
    /// No template.
    Nothing,
}

/// The template of a request's address, such as `/users/{id}`.
pub trait RouteTemplate: Send + Sync + 'static {
    /// The template, given the router's own if it has one.
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

/// The router's own template.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultRouteTemplate;

impl RouteTemplate for DefaultRouteTemplate {
    fn template(&self, _: Option<&str>, _: &request::Parts) -> Route {
        Route::Matched
    }
}

/// The template that axum's router has matched, if the layer is where it is known.
pub(crate) fn matched(request: &request::Parts) -> Option<&str> {
    request.extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Adds attributes of a request that the conventions do not have.
pub trait OnRequest: Send + Sync + 'static {
    /// Adds attributes to those that the span begins with, which samplers see. Keys that are there already must not be added.
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

/// Adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultOnRequest;

impl OnRequest for DefaultOnRequest {
    fn on_request(&self, _: &request::Parts, _: &mut Vec<KeyValue>) {}
}

/// Adds attributes of a response that the conventions do not have, and headers.
pub trait OnResponse: Send + Sync + 'static {
    /// Called when the head of the response is there. What it adds to the headers goes out; attributes and status by the
    /// conventions are set when the span ends.
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

/// Adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultOnResponse;

impl OnResponse for DefaultOnResponse {
    fn on_response(&self, _: &mut response::Parts, _: &SpanRef<'_>) {}
}

/// The text of a panic, if it has one.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_left_out_with_what_is_below_them() {
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
