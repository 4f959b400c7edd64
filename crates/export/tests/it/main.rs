//! The processor through its public interface.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bytes;
mod client;
mod delivery;
mod ending;
mod http;
mod limits;
mod spans;
