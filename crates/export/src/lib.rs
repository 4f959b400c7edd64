#![doc = include_str!("../README.md")]

mod body;
mod client;
mod encode;
mod processor;
mod queue;
mod settings;
mod worker;

pub use client::BodyClient;
pub use processor::{BuildError, Builder, EncodingSpanProcessor};
