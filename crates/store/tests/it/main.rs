//! The store from outside, as one test program.

#![allow(clippy::unwrap_used, reason = "functions beside the tests, where the lint does not know that it is in a test")]

mod archive;
mod facts;
mod files;
mod golden;
mod inspect;
mod list;
mod logs;
#[path = "../golden/others.rs"]
mod others;
mod retention;
#[path = "../golden/spans.rs"]
mod spans;
mod store;
mod support;
