//! The store from outside, as one test program.

#![allow(clippy::unwrap_used, reason = "functions beside the tests, where the lint does not know that it is in a test")]

mod archive;
mod facts;
mod files;
mod list;
mod logs;
mod retention;
mod store;
mod support;
