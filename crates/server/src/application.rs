//! An application that is served together with the inspector and the receivers.

use std::{fmt, future::Future, path::PathBuf, pin::Pin, sync::Arc};

use axum::Router;
use http::request::Parts;
use ipnet::IpNet;
use throughline_axum::Route;

/// The error of an application that failed to start.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Check = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
pub(crate) type Readiness = Arc<dyn Fn() -> Check + Send + Sync>;
pub(crate) type Filter = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;
pub(crate) type RouteOf = Arc<dyn Fn(Option<&str>, &Parts) -> Route + Send + Sync>;

/// The properties of the server that an application is part of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The data directory. It exists, and no other process uses it.
    pub data_dir: PathBuf,
    /// The path under which the inspector, its API and the receiver for pages are served: empty, or starting with a slash.
    pub base_path: String,
    /// `service.instance.id` of this process.
    pub service_instance_id: String,
    /// The networks of proxies whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// An application that a [`Server`](crate::Server) serves: its router, and options of its tracing and health check.
///
/// The server adds a span to each request, the CORS headers for `--allow-origin`, and an ingest token to each page.
#[derive(Clone)]
pub struct Application {
    pub(crate) router: Router,
    pub(crate) readiness: Option<Readiness>,
    pub(crate) filter: Option<Filter>,
    pub(crate) route: Option<RouteOf>,
    pub(crate) documents: Option<Filter>,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Application {
    /// Creates an application with these routes. Its fallback, if it has one, handles all requests without a route.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self { router, readiness: None, filter: None, route: None, documents: None }
    }

    /// Adds a check to `GET /readyz`, which returns 503 with the error as its text if the check fails.
    #[must_use]
    pub fn readiness<F, T>(mut self, check: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.readiness = Some(Arc::new(move || Box::pin(check())));
        self
    }

    /// Sets which of the application's requests become spans. The default is all.
    #[must_use]
    pub fn filter(mut self, filter: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Sets the function that returns the route of a request, for routes more specific than those of the router. The first argument is
    /// the route template that the router matched.
    #[must_use]
    pub fn route(mut self, route: impl Fn(Option<&str>, &Parts) -> Route + Send + Sync + 'static) -> Self {
        self.route = Some(Arc::new(route));
        self
    }

    /// Sets which requests may be page loads. The default is requests that a browser sends for a document.
    #[must_use]
    pub fn documents(mut self, documents: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.documents = Some(Arc::new(documents));
        self
    }
}
