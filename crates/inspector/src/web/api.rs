//! Where the API is, and plain requests to it.

use gloo_net::http::{Method, Request, RequestBuilder};
use leptos::prelude::*;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsCast;
use web_sys::{EventSource, EventSourceInit, HtmlMetaElement, RequestCredentials};

use crate::problem::Problem;

/// The server whose traces are shown: the origin of the page, or the one that the page names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    base: String,
}

impl Backend {
    /// The one that `<meta name="api-base" content="http://127.0.0.1:4567">` names; the page's own origin without it.
    #[must_use]
    pub fn from_page() -> Self {
        let base = document()
            .query_selector("meta[name=api-base]")
            .ok()
            .flatten()
            .and_then(|element| element.dyn_into::<HtmlMetaElement>().ok())
            .map(|meta| meta.content().trim().trim_end_matches('/').to_owned())
            .unwrap_or_default();
        Self { base }
    }

    /// The one provided as context, or [`Backend::from_page`].
    #[must_use]
    pub fn current() -> Self {
        use_context().unwrap_or_else(Self::from_page)
    }

    /// The address of `path`, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request for `path`, which carries the cookie to another origin too.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = RequestBuilder::new(&self.url(path)).method(method);
        if self.base.is_empty() { request } else { request.credentials(RequestCredentials::Include) }
    }

    /// Fetches without a trace: looking at traces must not make any.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let request: Request = self.request(Method::GET, path).build().map_err(|_| Problem::Unreachable)?;
        let response = throughline_browser::http::send_untraced(request).await.map_err(|_| Problem::Unreachable)?;
        let status = response.status();
        let body = response.text().await.map_err(|_| Problem::Unreachable)?;
        if !response.ok() {
            return Err(Problem::from_body(status, &body));
        }
        serde_json::from_str(&body).map_err(|error| Problem::Unreadable { status, reason: error.to_string() })
    }

    /// The stream of traces as they come and grow.
    pub(crate) fn live(&self) -> Option<EventSource> {
        let options = EventSourceInit::new();
        options.set_with_credentials(!self.base.is_empty());
        EventSource::new_with_event_source_init_dict(&self.url("/api/traces/live"), &options).ok()
    }
}
