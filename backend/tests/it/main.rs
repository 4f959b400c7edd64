//! Tests of Cruddur as a process, over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod archive;
mod cruddur;
mod misbehaviour;
mod pages;
mod proxies;
mod refusals;
mod support;
mod traces;
mod upstream;
