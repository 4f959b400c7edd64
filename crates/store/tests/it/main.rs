//! Integration tests of the store.

#![allow(clippy::unwrap_used, reason = "the lint does not recognize test helpers")]

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
