//! Cruddur, and the inspector of its traces, in the browser.

// `#[component]` makes `pub` items out of private ones.
#![allow(unreachable_pub)]

mod api;
mod app;
mod avatar;
mod chrome;
mod composer;
mod crud;
mod dock;
mod help;
mod load;
mod page;
mod pages;
mod search_form;
mod session;
mod storage;
mod theme;
mod time;
mod user_menu;

use leptos::prelude::*;
use throughline_browser::Config;
use throughline_inspector::Backend;

fn main() {
    // First of all, so that nothing is painted in the wrong colours.
    theme::apply_remembered();
    console_error_panic_hook::set_once();
    let backend = Backend::from_page();
    throughline_browser::init(telemetry(&backend));
    mount_to_body(move || view! { <app::App backend/> });
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    throughline_browser::app_ready();
}

fn telemetry(backend: &Backend) -> Config {
    let config = Config::new()
        .endpoint(backend.url("/v1/traces"))
        .ticket_endpoint(backend.url("/v1/ticket"))
        .scope("cruddur", env!("CARGO_PKG_VERSION"));
    let base = backend.url("");
    if base.is_empty() { config } else { config.propagate_to(base) }
}
