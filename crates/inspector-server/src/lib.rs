#![doc = include_str!("../README.md")]

mod access;
mod align;
mod client;
mod convert;
mod error;
mod inspector;
mod live;
mod metrics;
mod page;
mod routes;
mod sinks;

pub use access::Access;
pub use client::{Client, is_base_path};
pub use error::{ApiError, no_such_address, panicked, wrong_method};
pub use inspector::{Inspector, InvalidBasePath};
pub use sinks::Sinks;
