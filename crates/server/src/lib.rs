#![doc = include_str!("../README.md")]

mod access_token;
mod addresses;
mod application;
mod archive;
mod compose;
mod doctor;
mod embedded;
mod healthcheck;
mod init;
mod listen;
mod pipeline;
mod self_check;
mod serve;
mod server;
mod settings;
mod telemetry;

pub use application::{Application, BoxError, Context};
pub use init::{Builder, InitError, Telemetry, builder, init};
pub use server::Server;
