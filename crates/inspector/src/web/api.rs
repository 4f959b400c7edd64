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

/// The base path of the inspector.
pub(crate) fn base() -> Base {
    BASE.with(Base::clone)
}

/// The path of a page or of an API endpoint, with the base path in front. `path` begins with a slash.
pub(crate) fn url(path: &str) -> String {
    BASE.with(|base| base.join(path))
}

/// Gets `path` and reads the JSON of the response.
pub(crate) async fn get<T: DeserializeOwned>(path: &str) -> Result<T, Problem> {
    let response = Request::get(&url(path)).send().await.map_err(|_| Problem::Unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(|_| Problem::Unreachable)?;
    if !response.ok() {
        return Err(Problem::from_body(status, &body));
    }
    serde_json::from_str(&body).map_err(|error| Problem::Unreadable { status, reason: error.to_string() })
}

/// The stream of new and changed traces; nothing if the browser cannot open one.
pub(crate) fn live() -> Option<EventSource> {
    EventSource::new(&url("/api/traces/live")).ok()
}
