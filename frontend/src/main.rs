//! Cruddur's page.

// `#[component]` makes `pub` items out of private ones.
#![allow(unreachable_pub)]
// Components own what they are given, as callers of `view!` expect.
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
    // First of all, so that nothing is painted in the wrong colours.
    theme::apply_remembered();
    console_error_panic_hook::set_once();
    let backend = Backend::from_page();
    // The dock shows the request of the document too.
    throughline_browser::keep_requests();
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
        // The inspector is live: the usual 5 s would be felt.
        .flush_interval_ms(FLUSH_INTERVAL_MS)
        .route(page::template_of);
    let base = backend.url("");
    if base.is_empty() { config } else { config.propagate_to(base) }
}
