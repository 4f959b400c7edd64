//! The outbox against real stores and an upstream that can be told what to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alignment;
mod delivery;
mod metrics;
mod sampling;
mod sinks;
mod support;
