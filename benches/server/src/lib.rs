//! Compares the server layer with others, in one process and with one exporter: `cargo xtask bench server` measures the
//! cost, and `cargo test -p throughline-bench-server` compares correctness.

pub mod export;
pub mod feed;
pub mod requests;
pub mod set_up;
pub mod subject;
