//! The tracer functions that the benchmark's pages call. Nothing else in `benches/` uses `throughline_browser`, so a
//! change of its interface affects only this file.

use std::future::ready;

use gloo_net::{Error, http::Request};
use throughline_browser::{Config, action, http, init};
pub use throughline_browser::{app_ready, dropped, flush, http::Response};

/// Whether `window.fetch` itself is traced once the tracer has started.
pub const PATCHES_FETCH: bool = true;

/// Starts the tracer with the default configuration.
pub fn start() {
    init(Config::new());
}

/// Starts the tracer; its telemetry is sent to the receivers below `base`, a URL without a trailing slash.
///
/// `flush_interval_ms` is the longest time for which an ended span is buffered.
pub fn start_at(base: &str, flush_interval_ms: u32) {
    init(Config::new().endpoint(base).flush_interval_ms(flush_interval_ms));
}

/// Fetches `url` within a span, which ends when the body has been read.
///
/// # Errors
/// Returns the errors of gloo-net's `Request::send`.
pub async fn get(url: &str) -> Result<Response, Error> {
    http::send(Request::get(url).build()?, None).await
}

/// Creates a span `bench {name}` and ends it at once.
pub async fn span(name: &str) {
    action("bench", name, ready(())).await;
}
