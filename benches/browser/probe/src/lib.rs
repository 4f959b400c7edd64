//! The tracer, for the benchmark's pages to call from JavaScript.

use throughline_bench_tracer as tracer;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// Starts the tracer with its telemetry going to the receivers below `base`.
#[wasm_bindgen]
pub fn start(base: &str, flush_interval_ms: u32) {
    tracer::start_at(base, flush_interval_ms);
}

/// Whether `window.fetch` itself is traced then; else [`get`] is.
#[wasm_bindgen]
pub fn patches_fetch() -> bool {
    tracer::PATCHES_FETCH
}

/// Says that the page is there.
#[wasm_bindgen]
pub fn ready() {
    tracer::app_ready();
}

/// The body at `url`, fetched as a span.
///
/// # Errors
/// As gloo-net's `Request::send`.
#[wasm_bindgen]
pub async fn get(url: String) -> Result<String, JsError> {
    Ok(tracer::get(&url).await?.text().await?)
}

/// Makes a span `bench {name}` that has ended already.
#[wasm_bindgen]
pub async fn span(name: String) {
    tracer::span(&name).await;
}

/// Makes `count` such spans at once.
#[wasm_bindgen]
pub async fn spans(name: String, count: u32) {
    for _ in 0..count {
        tracer::span(&name).await;
    }
}

/// Sends what waits.
#[wasm_bindgen]
pub fn flush() {
    tracer::flush();
}

/// How many spans were lost, as far as the tracer knows.
#[wasm_bindgen]
pub fn dropped() -> f64 {
    tracer::dropped() as f64
}
