//! The settings of the inspector, and the router built from them.

use ipnet::IpNet;
use thiserror::Error;
use throughline_inspector_api::Receiver;
use throughline_store::{Metrics, Store};
use tokio::sync::watch;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;

use axum::Router;

use crate::{
    access::{Access, Gate},
    client::{Client, is_base_path},
    error::panicked,
    metrics, page, routes,
    sinks::Sinks,
};

/// The inspector of a store: the page and its API, as an axum router. See the [crate documentation](crate).
#[derive(Debug)]
pub struct Inspector {
    store: Store,
    metrics: Option<Metrics>,
    sinks: Option<Sinks>,
    receiver: Receiver,
    access: Access,
    allowed_origins: Vec<String>,
    trusted_proxies: Vec<IpNet>,
    base_path: String,
    stopping: watch::Receiver<bool>,
    /// Keeps `stopping` open if the application has not set one.
    never: Option<watch::Sender<bool>>,
}

/// The error for a text that is not a base path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a base path: expected slash-separated segments of letters, digits, `-`, `.`, `_` and `~`, without a slash at the end, such as /tools/tracing"
)]
pub struct InvalidBasePath(String);

impl Inspector {
    /// Creates an inspector of `store` at the root of the server, for clients on this machine ([`Access::Local`]).
    #[must_use]
    pub fn new(store: Store) -> Self {
        let (never, stopping) = watch::channel(false);
        Self {
            store,
            metrics: None,
            sinks: None,
            receiver: Receiver::default(),
            access: Access::default(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            base_path: String::new(),
            stopping,
            never: Some(never),
        }
    }

    /// Serves the data points of this store at `/api/metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Shows the state of these sinks.
    #[must_use]
    pub fn sinks(mut self, sinks: Sinks) -> Self {
        self.sinks = Some(sinks);
        self
    }

    /// Sets the base URL of the receiver for programs, which is shown in an empty list.
    #[must_use]
    pub fn otlp_http(mut self, base_url: impl Into<String>) -> Self {
        self.receiver = Receiver { otlp_http: Some(base_url.into()) };
        self
    }

    /// Sets the clients that may view traces.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Adds the host names of these origins (`https://host:port`) to the names of this server.
    #[must_use]
    pub fn allowed_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        self.allowed_origins = origins.into_iter().collect();
        self
    }

    /// Sets the networks of proxies whose forwarding headers (`Forwarded`, `X-Forwarded-*`) are trusted. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// Serves everything below this path, such as `/tools/tracing`; empty for the root, which is the default. Behind a trusted
    /// proxy that strips a path and sends it in `X-Forwarded-Prefix`, no base path is needed.
    ///
    /// # Errors
    /// Returns an error if `path` is not a base path.
    pub fn base_path(mut self, path: impl Into<String>) -> Result<Self, InvalidBasePath> {
        let path = path.into();
        if !is_base_path(&path) {
            return Err(InvalidBasePath(path));
        }
        self.base_path = path;
        Ok(self)
    }

    /// Ends live streams when this becomes true, because they would delay a graceful shutdown.
    #[must_use]
    pub fn stopping(mut self, stopping: watch::Receiver<bool>) -> Self {
        self.stopping = stopping;
        self.never = None;
        self
    }

    /// Builds the router, for [`Router::merge`].
    pub fn router(self) -> Router {
        if !page::is_built() {
            tracing::error!(
                "the inspector's page is not built into this program, so /traces returns 503; run `cargo xtask dist` in the \
                 Throughline repository and compile again"
            );
        }
        let gate = Gate::new(&self.access, &self.allowed_origins);
        let mut router = page::router(gate.clone(), &self.base_path).merge(routes::router(
            self.store,
            self.sinks,
            self.receiver,
            gate.clone(),
            self.stopping,
            self.never,
        ));
        if let Some(metrics) = self.metrics {
            router = router.merge(metrics::metrics_router(metrics, gate));
        }
        let router = match self.base_path.as_str() {
            "" => router,
            path => Router::new().nest(path, router),
        };
        let trusted = self.trusted_proxies;
        router
            .layer(CatchPanicLayer::custom(panicked))
            .layer(MapRequestLayer::new(move |request| Client::identify(&trusted, request)))
    }
}
