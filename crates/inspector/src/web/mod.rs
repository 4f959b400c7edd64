//! The components: the only part that touches the browser.

// `#[component]` makes `pub` items out of private ones.
#![allow(unreachable_pub)]
// Components own what they are given, as callers of `view!` expect.
#![allow(clippy::needless_pass_by_value)]

pub(crate) mod backend;
pub mod clock;
mod copy;
mod details;
mod filter_bar;
pub(crate) mod focus;
mod header;
pub(crate) mod list;
mod list_row;
mod list_state;
mod live;
mod logs;
mod minimap;
mod page;
pub(crate) mod problem_view;
mod row;
mod sinks;
pub(crate) mod trace;
mod waterfall;
