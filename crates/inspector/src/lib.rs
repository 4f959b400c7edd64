//! The layout of the inspector's pages, independent of a browser: trees, rows, bands, ticks, addresses and text.
//!
//! The library is plain Rust and tested natively. The binary of this package (`main.rs` and `web`) renders it with Leptos.

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
