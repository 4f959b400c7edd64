//! An application that is served together with the product.

use std::{fmt, future::Future, path::PathBuf, pin::Pin, sync::Arc};

use axum::Router;
use http::request::Parts;
use ipnet::IpNet;
use throughline_axum::Route;

/// The error of an application that cannot start.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Check = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
pub(crate) type Readiness = Arc<dyn Fn() -> Check + Send + Sync>;
pub(crate) type Filter = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;
pub(crate) type RouteOf = Arc<dyn Fn(Option<&str>, &Parts) -> Route + Send + Sync>;

/// The server that an application becomes a part of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The data directory, which exists and which no other process uses.
    pub data_dir: PathBuf,
    /// The path below which the inspector, its API and the receiver for pages are: empty, or with a slash at its beginning.
    pub base_path: String,
    /// `service.instance.id` of this process.
    pub service_instance_id: String,
    /// Networks of proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// An application: its router, and what the server has to know of it.
///
/// The server adds to the router a span for each request, the CORS headers for `--allow-origin`, and an ingest token on each page.
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
    /// An application with these routes. Its fallback, if it has one, answers whatever has no route.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self { router, readiness: None, filter: None, route: None, documents: None }
    }

    /// Extends `GET /readyz`: an error makes it 503 with this sentence.
    #[must_use]
    pub fn readiness<F, T>(mut self, check: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.readiness = Some(Arc::new(move || Box::pin(check())));
        self
    }

    /// Which of the application's requests become spans. Default: all.
    #[must_use]
    pub fn filter(mut self, filter: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// The route template of a request where the router's own does not tell enough. The first argument is the router's.
    #[must_use]
    pub fn route(mut self, route: impl Fn(Option<&str>, &Parts) -> Route + Send + Sync + 'static) -> Self {
        self.route = Some(Arc::new(route));
        self
    }

    /// Which requests may be for a page. Default: those that a browser makes for a document.
    #[must_use]
    pub fn documents(mut self, documents: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.documents = Some(Arc::new(documents));
        self
    }
}
