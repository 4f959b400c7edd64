//! Leptos components that show traces: the live list and the waterfall.
//!
//! What is computed (trees, rows, bands, ticks, words) is plain Rust, tested natively; the components in `web` do
//! nothing but show it.
//!
//! Mount [`TraceListPage`] at `/traces` and [`TracePage`] at `/traces/:id` inside a `leptos_router` router, and
//! provide a [`Backend`] as context where the backend is not the origin of the page.

pub mod address;
pub mod band;
pub mod find;
pub mod format;
pub mod label;
pub mod log;
pub mod model;
pub mod problem;
pub mod sinks;
pub mod timeline;
pub mod tree;
pub mod viewport;

mod web;

pub use web::{
    backend::Backend, clock, focus::is_typing, list::TraceListPage, problem_view::ProblemView, trace::TracePage,
};
