#![doc = include_str!("../README.md")]

mod body;
mod builder;
mod counts;
mod encode;
mod endpoint;
mod environment;
mod processor;
mod queue;
mod request;
mod retry;
mod settings;
mod worker;

pub use builder::{BuildError, Builder};
pub use counts::{Counts, Monitor};
pub use endpoint::{Compression, ConfigError};
pub use processor::EncodingSpanProcessor;
