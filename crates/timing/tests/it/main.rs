//! Property tests of this crate, and an example for each rule.

mod decompose;
mod exchange;
mod interval;
mod server_timing;
mod simulation;
mod sync;
