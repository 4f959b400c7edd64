//! Requests to the server that serves this page.

use gloo_net::http::Request;
use leptos::prelude::document;
use serde::de::DeserializeOwned;
use throughline_inspector::{base::Base, problem::Problem};
use wasm_bindgen::JsCast;
use web_sys::{EventSource, HtmlMetaElement};

thread_local! {
    static BASE: Base = read_base();
}

fn read_base() -> Base {
    let meta = document().query_selector("meta[name=throughline-base]").ok().flatten();
    let meta = meta.and_then(|element| element.dyn_into::<HtmlMetaElement>().ok());
    meta.map_or_else(Base::default, |meta| Base::from_meta(&meta.content()))
}

/// Returns the base path of the inspector.
pub(crate) fn base() -> Base {
    BASE.with(Base::clone)
}

/// Returns the path of a page or an API endpoint below the base path. `path` begins with a slash.
pub(crate) fn url(path: &str) -> String {
    BASE.with(|base| base.join(path))
}

/// Sends a GET request to `path` and parses the JSON response.
pub(crate) async fn get<T: DeserializeOwned>(path: &str) -> Result<T, Problem> {
    let response = Request::get(&url(path)).send().await.map_err(|_| Problem::Unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(|_| Problem::Unreachable)?;
    if !response.ok() {
        return Err(Problem::from_body(status, &body));
    }
    serde_json::from_str(&body).map_err(|error| Problem::Unreadable { status, reason: error.to_string() })
}

/// Opens the stream of new and changed traces; `None` if the browser cannot open one.
pub(crate) fn live() -> Option<EventSource> {
    EventSource::new(&url("/api/traces/live")).ok()
}
