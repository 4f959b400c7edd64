//! The tracer with functions that the benchmark's pages call from JavaScript.

use throughline_bench_tracer as tracer;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// Starts the tracer; its telemetry is sent to the receivers below `base`.
#[wasm_bindgen]
pub fn start(base: &str, flush_interval_ms: u32) {
    tracer::start_at(base, flush_interval_ms);
}

/// Returns whether `window.fetch` itself is traced after the start; otherwise only [`get`] is.
#[wasm_bindgen]
pub fn patches_fetch() -> bool {
    tracer::PATCHES_FETCH
}

/// Reports that the page is ready.
#[wasm_bindgen]
pub fn ready() {
    tracer::app_ready();
}

/// Fetches `url` within a span and returns the body.
///
/// # Errors
/// Returns the errors of gloo-net's `Request::send`.
#[wasm_bindgen]
pub async fn get(url: String) -> Result<String, JsError> {
    Ok(tracer::get(&url).await?.text().await?)
}

/// Creates a span `bench {name}` and ends it at once.
#[wasm_bindgen]
pub async fn span(name: String) {
    tracer::span(&name).await;
}

/// Creates `count` such spans.
#[wasm_bindgen]
pub async fn spans(name: String, count: u32) {
    for _ in 0..count {
        tracer::span(&name).await;
    }
}

/// Sends the queued records.
#[wasm_bindgen]
pub fn flush() {
    tracer::flush();
}

/// Returns the number of spans that the tracer has dropped.
#[wasm_bindgen]
pub fn dropped() -> f64 {
    tracer::dropped() as f64
}
