//! [`TraceLayer`]: the settings, and the [`tower_layer::Layer`].

use std::{fmt, sync::Arc};

use axum::extract::MatchedPath;
use http::{HeaderValue, request::Parts};
use tower_layer::Layer;

use crate::{
    make_span::asks_for_document,
    policy::{Filter, RemoteParent, RouteTemplate},
    service::TraceService,
};

/// Puts a SERVER span around each request. See the [crate's page](crate).
#[derive(Clone)]
pub struct TraceLayer {
    pub(crate) settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) instance: String,
    pub(crate) remote_parent: RemoteParent,
    pub(crate) filter: Arc<dyn Filter>,
    pub(crate) route: Arc<dyn RouteTemplate>,
    pub(crate) documents: Arc<dyn Filter>,
    pub(crate) timing_allow_origins: Vec<HeaderValue>,
}

impl fmt::Debug for TraceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLayer")
            .field("instance", &self.settings.instance)
            .field("remote_parent", &self.settings.remote_parent)
            .field("timing_allow_origins", &self.settings.timing_allow_origins)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn route_of(&self, request: &Parts) -> Option<String> {
        self.route.template(request.extensions.get::<MatchedPath>().map(MatchedPath::as_str), request)
    }
}

impl TraceLayer {
    /// A layer that traces every request.
    ///
    /// `instance` is the `service.instance.id` of this process: 1 to 64 of `A-Z a-z 0-9 . _ -`. A browser learns the offset of
    /// each instance's clock by itself.
    #[must_use]
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            settings: Arc::new(Settings {
                instance: instance.into(),
                remote_parent: RemoteParent::default(),
                filter: Arc::new(|_: &Parts| true),
                route: Arc::new(|matched: Option<&str>, _: &Parts| matched.map(str::to_owned)),
                documents: Arc::new(asks_for_document),
                timing_allow_origins: Vec::new(),
            }),
        }
    }

    /// Whether a trace that a client began is continued. Default: always.
    #[must_use]
    pub fn remote_parent(self, policy: RemoteParent) -> Self {
        self.with(|settings| settings.remote_parent = policy)
    }

    /// Which requests are traced; the others pass untouched. Default: all.
    #[must_use]
    pub fn filter(self, filter: impl Filter) -> Self {
        self.with(|settings| settings.filter = Arc::new(filter))
    }

    /// Where `http.route` comes from, if the router's own template says too little. Default: axum's matched path.
    #[must_use]
    pub fn route(self, route: impl RouteTemplate) -> Self {
        self.with(|settings| settings.route = Arc::new(route))
    }

    /// Which requests without `traceparent` are for a page that traces itself: their parent is made up here and taken over by
    /// the page. Default: every GET with `Sec-Fetch-Dest: document`, or that accepts `text/html` where a browser does not say.
    /// `documents` narrows that.
    #[must_use]
    pub fn documents(self, documents: impl Filter) -> Self {
        self.with(|settings| {
            settings.documents =
                Arc::new(move |request: &Parts| asks_for_document(request) && documents.traces(request));
        })
    }

    /// One more origin whose pages may see the timing of their requests here (`Timing-Allow-Origin`). Default: none but the
    /// server's own. An origin that is no header value is left out.
    #[must_use]
    pub fn timing_allow_origin(self, origin: &str) -> Self {
        let Ok(origin) = HeaderValue::from_str(origin) else { return self };
        self.with(|settings| settings.timing_allow_origins.push(origin))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner, settings: Arc::clone(&self.settings) }
    }
}
