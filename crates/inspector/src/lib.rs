//! The layout of the inspector's pages, without a browser: trees, rows, bands, ticks, addresses and text.
//!
//! It is plain Rust and tested natively. The program of this package (`main.rs` and `web`) shows it with Leptos.

pub mod address;
pub mod band;
pub mod base;
pub mod example;
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
