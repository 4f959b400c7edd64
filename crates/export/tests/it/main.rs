//! Tests of the processor through its public interface.
#![expect(clippy::unwrap_used, reason = "a panic is a test failure")]

mod bytes;
mod client;
mod delivery;
mod ending;
mod http;
mod limits;
mod spans;
