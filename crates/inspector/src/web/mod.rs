//! The components: the only part that touches the browser.

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
