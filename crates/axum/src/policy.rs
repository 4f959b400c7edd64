//! What the layer is told to do.

use http::request::Parts;

/// Whether a trace that a client began is continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoteParent {
    /// A valid `traceparent` becomes the parent of the server span.
    #[default]
    Always,
    /// The server span is a root of its own; the client's span becomes a link.
    Never,
}

/// Which requests are traced.
pub trait Filter: Send + Sync + 'static {
    /// Whether this request becomes a span.
    fn traces(&self, request: &Parts) -> bool;
}

impl<F> Filter for F
where
    F: Fn(&Parts) -> bool + Send + Sync + 'static,
{
    fn traces(&self, request: &Parts) -> bool {
        self(request)
    }
}

/// The template of a request's address, such as `/users/{id}`.
pub trait RouteTemplate: Send + Sync + 'static {
    /// The template, given the router's own if it has one; `None` where there is no route.
    fn template(&self, matched: Option<&str>, request: &Parts) -> Option<String>;
}

impl<F> RouteTemplate for F
where
    F: Fn(Option<&str>, &Parts) -> Option<String> + Send + Sync + 'static,
{
    fn template(&self, matched: Option<&str>, request: &Parts) -> Option<String> {
        self(matched, request)
    }
}
