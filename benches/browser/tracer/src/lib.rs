//! How the benchmark's pages call the tracer. Nothing else below `benches/` names `throughline_browser`, so that a change
//! of its interface is a change of this file.

use std::future::ready;

use gloo_net::{Error, http::Request};
use throughline_browser::{Config, action, http, init};
pub use throughline_browser::{app_ready, dropped, flush, http::Response};

/// Whether `window.fetch` itself is traced once the tracer has started.
pub const PATCHES_FETCH: bool = true;

/// Starts the tracer as an application does that has nothing to say.
pub fn start() {
    init(Config::new());
}

/// Starts the tracer with its telemetry going to the receivers below `base`, a URL without a slash at its end.
///
/// `flush_interval_ms` is how long a finished span waits for company.
pub fn start_at(base: &str, flush_interval_ms: u32) {
    init(Config::new().endpoint(base).flush_interval_ms(flush_interval_ms));
}

/// Fetches `url` as a span; the span ends when the body has been read.
///
/// # Errors
/// As gloo-net's `Request::send`.
pub async fn get(url: &str) -> Result<Response, Error> {
    http::send(Request::get(url).build()?, None).await
}

/// Makes a span `bench {name}` that has ended already.
pub async fn span(name: &str) {
    action("bench", name, ready(())).await;
}
