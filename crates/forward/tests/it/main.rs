//! Tests of the outbox with real stores and an upstream with scripted responses.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod alignment;
mod delivery;
mod metrics;
mod sampling;
mod sinks;
mod support;
