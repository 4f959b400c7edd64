//! The address of Cruddur's API.

use gloo_net::http::{Method, RequestBuilder};
use leptos::prelude::document;
use wasm_bindgen::JsCast;
use web_sys::{HtmlMetaElement, RequestCredentials};

/// The server of the API: the origin of the page, or the one configured in the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backend {
    base: String,
}

impl Backend {
    /// Reads `<meta name="api-base" content="http://127.0.0.1:4567">`; without it, the page's own origin is used.
    pub(crate) fn from_page() -> Self {
        let meta = document().query_selector("meta[name=api-base]").ok().flatten();
        let meta = meta.and_then(|element| element.dyn_into::<HtmlMetaElement>().ok());
        let base = meta.map(|meta| meta.content().trim().trim_end_matches('/').to_owned()).unwrap_or_default();
        Self { base }
    }

    /// Returns the URL of `path`, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Starts a request to `path`. The cookie is sent to another origin too.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = RequestBuilder::new(&self.url(path)).method(method);
        if self.base.is_empty() { request } else { request.credentials(RequestCredentials::Include) }
    }
}
