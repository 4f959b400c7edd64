//! A page that traces itself. Its telemetry is sent to the OTLP endpoint in the page's URL.

use gloo_net::http::Request;
use throughline_browser::{Config, RequestSummary, action, app_ready, http, init, on_request, on_status, record_error};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Document, UrlSearchParams, Window};

/// The address of a Collector on this machine.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4318";
const SLOW_MS: f64 = 200.0;
/// The path that the buttons fetch, which every file server has.
const PATH: &str = "/";

fn main() {
    let Some(window) = web_sys::window() else { return };
    let Some(document) = window.document() else { return };
    init(telemetry(&window));
    show_status(&document);
    buttons(&document, &window);
    app_ready();
}

/// Reads the settings from the page's URL: `?endpoint=http://127.0.0.1:4318` is the endpoint; `&ingest_token` is added for
/// Throughline's receiver for pages, which requires an ingest token.
fn telemetry(window: &Window) -> Config {
    let query = window.location().search().unwrap_or_default();
    let query = UrlSearchParams::new_with_str(&query).ok();
    let parameter = |name| query.as_ref().and_then(|query| query.get(name));
    let endpoint = parameter("endpoint").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let config = Config::new().service_name("standalone").flush_interval_ms(1_000);
    let config = match parameter("ingest_token") {
        Some(_) => config.ingest_token_endpoint(format!("{}/v1/ingest-token", endpoint.trim_end_matches('/'))),
        None => config,
    };
    config.endpoint(endpoint)
}

/// Shows the tracer's status and the last request.
fn show_status(document: &Document) {
    if let Some(element) = document.get_element_by_id("status") {
        on_status(move |status| element.set_text_content(Some(&status.to_string())));
    }
    if let Some(element) = document.get_element_by_id("request") {
        on_request(move |request| element.set_text_content(Some(&describe(request))));
    }
}

fn describe(request: &RequestSummary) -> String {
    let phases: Vec<String> =
        request.segments.iter().map(|(phase, ms)| format!("{} {ms:.1}", phase.as_str())).collect();
    let RequestSummary { method, path, total_ms, quality, .. } = request;
    format!("{method} {path}: {total_ms:.1} ms ({}), timing is {quality}", phases.join(", "))
}

fn buttons(document: &Document, window: &Window) {
    // Every fetch of the page is traced: this one is automatically a child of the click.
    on_click(document, "fetch", || {
        spawn_local(async {
            if let Err(error) = Request::get(PATH).send().await {
                record_error("FetchError", &error.to_string());
            }
        });
    });
    // Requests after an `.await` are children of the click because `action` carries the context.
    on_click(document, "twice", || {
        spawn_local(action("click", "twice", async {
            for _ in 0..2 {
                if let Err(error) = fetched(PATH).await {
                    record_error("FetchError", &error.to_string());
                }
            }
        }));
    });
    let history = window.history().ok();
    on_click(document, "route", move || {
        let path = format!("/step/{:.0}", js_sys::Date::now());
        // A page that was opened from a file cannot change its URL.
        let _ = history.as_ref().map(|history| history.push_state_with_url(&JsValue::NULL, "", Some(&path)));
    });
    on_click(document, "slow", || {
        let end_ms = js_sys::Date::now() + SLOW_MS;
        while js_sys::Date::now() < end_ms {}
    });
    on_click(document, "error", || wasm_bindgen::throw_str("an error that nobody catches"));
    on_click(document, "panic", || panic!("a panic of the application"));
}

/// Fetches `path` with a template for the span's name, and reads the body, which ends the span.
async fn fetched(path: &str) -> Result<String, gloo_net::Error> {
    http::send(Request::get(path).build()?, Some("/")).await?.text().await
}

fn on_click(document: &Document, id: &str, handler: impl Fn() + 'static) {
    let Some(button) = document.get_element_by_id(id) else { return };
    let handler = Closure::<dyn Fn()>::new(handler).into_js_value();
    // This fails only if the handler is not a function.
    let _ = button.add_event_listener_with_callback("click", handler.unchecked_ref());
}
