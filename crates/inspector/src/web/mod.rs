//! The components: the only part that touches the browser.

// `#[component]` makes `pub` items out of private ones.
#![allow(unreachable_pub)]

pub(crate) mod backend;
pub mod clock;
mod copy;
mod details;
pub(crate) mod focus;
mod header;
pub(crate) mod list;
mod list_row;
mod live;
mod minimap;
mod page;
pub(crate) mod problem_view;
mod row;
pub(crate) mod trace;
mod waterfall;
