//! Cruddur as its users meet it: a real process, asked over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod archive;
mod cruddur;
mod misbehaviour;
mod pages;
mod proxies;
mod refusals;
mod support;
mod traces;
mod upstream;
