//! A page that traces itself. Its telemetry goes to the OTLP endpoint that its address names.

use gloo_net::http::Request;
use throughline_browser::{Config, RequestSummary, action, app_ready, http, init, on_request, on_status, record_error};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Document, UrlSearchParams, Window};

/// Where a Collector listens on this machine.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4318";
const SLOW_MS: f64 = 200.0;
/// What the buttons fetch: any server of files has it.
const PATH: &str = "/";

fn main() {
    let Some(window) = web_sys::window() else { return };
    let Some(document) = window.document() else { return };
    init(telemetry(&window));
    tell(&document);
    buttons(&document, &window);
    app_ready();
}

/// `?endpoint=http://127.0.0.1:4318` names the endpoint; with `&ingest_token` it is one of ours, which wants an ingest token.
fn telemetry(window: &Window) -> Config {
    let query = window.location().search().unwrap_or_default();
    let query = UrlSearchParams::new_with_str(&query).ok();
    let asked = |name| query.as_ref().and_then(|query| query.get(name));
    let endpoint = asked("endpoint").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let config = Config::new().service_name("standalone").flush_interval_ms(1_000);
    let config = match asked("ingest_token") {
        Some(_) => config.ingest_token_endpoint(format!("{}/v1/ingest-token", endpoint.trim_end_matches('/'))),
        None => config,
    };
    config.endpoint(endpoint)
}

/// Shows what the tracer says of itself and of each request.
fn tell(document: &Document) {
    if let Some(element) = document.get_element_by_id("status") {
        on_status(move |status| element.set_text_content(Some(&status.to_string())));
    }
    if let Some(element) = document.get_element_by_id("request") {
        on_request(move |request| element.set_text_content(Some(&in_words(request))));
    }
}

fn in_words(request: &RequestSummary) -> String {
    let phases: Vec<String> =
        request.segments.iter().map(|(phase, ms)| format!("{} {ms:.1}", phase.as_str())).collect();
    let RequestSummary { method, path, total_ms, quality, .. } = request;
    format!("{method} {path}: {total_ms:.1} ms ({}), timing is {quality}", phases.join(", "))
}

fn buttons(document: &Document, window: &Window) {
    // Any fetch of the page is traced: this one is a child of the click by itself.
    on_click(document, "fetch", || {
        spawn_local(async {
            if let Err(error) = Request::get(PATH).send().await {
                record_error("FetchError", &error.to_string());
            }
        });
    });
    // What stands behind an await belongs to the click because `action` carries it there.
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
        // Pages that were opened from a file may not change their address.
        let _ = history.as_ref().map(|history| history.push_state_with_url(&JsValue::NULL, "", Some(&path)));
    });
    on_click(document, "slow", || {
        let end_ms = js_sys::Date::now() + SLOW_MS;
        while js_sys::Date::now() < end_ms {}
    });
    on_click(document, "error", || wasm_bindgen::throw_str("an error that nobody catches"));
    on_click(document, "panic", || panic!("a panic of the application"));
}

/// Fetches with a template for the span's name, and reads the body: the span ends when it is there.
async fn fetched(path: &str) -> Result<String, gloo_net::Error> {
    http::send(Request::get(path).build()?, Some("/")).await?.text().await
}

fn on_click(document: &Document, id: &str, handler: impl Fn() + 'static) {
    let Some(button) = document.get_element_by_id(id) else { return };
    let handler = Closure::<dyn Fn()>::new(handler).into_js_value();
    // It fails only for something that is no function.
    let _ = button.add_event_listener_with_callback("click", handler.unchecked_ref());
}
