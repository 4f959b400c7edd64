//! The server layer beside others, in one process and with one exporter: `cargo xtask bench server` measures, and
//! `cargo test -p throughline-bench-server` compares what is right.

pub mod export;
pub mod feed;
pub mod requests;
pub mod set_up;
pub mod subject;
