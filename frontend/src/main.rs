//! The web application of Cruddur.

// `#[component]` generates `pub` items from private ones.
#![allow(unreachable_pub)]
// Components own their properties, as `view!` expects.
#![allow(clippy::needless_pass_by_value)]

mod api;
mod app;
mod avatar;
mod backend;
mod chrome;
mod composer;
mod crud;
mod dock;
mod help;
mod load;
mod page;
mod pages;
mod problem;
mod search_form;
mod session;
mod storage;
mod text;
mod theme;
mod time;
mod user_menu;

use leptos::prelude::*;
use throughline_browser::Config;

use crate::backend::Backend;

fn main() {
    // First, so that nothing is painted in the wrong theme.
    theme::apply_remembered();
    console_error_panic_hook::set_once();
    let backend = Backend::from_page();
    // Before `init`, so that the dock also shows the request of the document.
    throughline_browser::buffer_requests();
    throughline_browser::init(telemetry(&backend));
    mount_to_body(move || view! { <app::App backend/> });
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    throughline_browser::app_ready();
}

const FLUSH_INTERVAL_MS: u32 = 1_000;

fn telemetry(backend: &Backend) -> Config {
    let config = Config::new()
        .endpoint(backend.url(""))
        .ingest_token_endpoint(backend.url("/v1/ingest-token"))
        .scope("cruddur", env!("CARGO_PKG_VERSION"))
        // The default of 5 s would be a noticeable delay in the live inspector.
        .flush_interval_ms(FLUSH_INTERVAL_MS)
        .route(page::template_of);
    let base = backend.url("");
    if base.is_empty() { config } else { config.propagate_to(base) }
}
