//! Tests of the layer in real servers on loopback sockets, with the real SDK.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod bodies;
mod extended_connect;
mod harness;
mod headers;
mod metrics;
mod panics;
mod policy;
mod routers;
mod server_timing;
mod spans;
mod tracing_spans;
mod upgrade;
