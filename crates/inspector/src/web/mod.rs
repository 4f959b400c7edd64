//! The components, the only part that uses browser APIs.

// `#[component]` generates `pub` items from private ones.
#![allow(unreachable_pub)]
// Components own their properties, as `view!` expects.
#![allow(clippy::needless_pass_by_value)]

mod api;
mod app;
mod clock;
mod copy;
mod details;
mod empty;
mod filter_bar;
mod focus;
mod head;
mod header;
mod help;
mod list;
mod list_row;
mod list_state;
mod live;
mod logs;
mod minimap;
mod page;
mod problem_view;
mod row;
mod sinks;
mod theme;
mod title;
mod trace;
mod waterfall;

use leptos::prelude::*;

/// Mounts the page in place of the static header in `index.html`.
pub(crate) fn start() {
    // Before the first paint.
    theme::apply_remembered();
    console_error_panic_hook::set_once();
    mount_to_body(app::App);
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
}
