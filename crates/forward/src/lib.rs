#![doc = include_str!("../README.md")]

mod backoff;
mod config;
mod endpoint;
mod forwarder;
mod headers;
mod outgoing;
mod response;
mod secret;
mod status;
mod upstream;
mod worker;

pub use crate::{
    config::{BackoffConfig, ForwardConfig, OtlpSink},
    endpoint::{EndpointError, logs_endpoint, traces_endpoint},
    forwarder::{Forwarder, spawn},
    headers::{HeadersError, HeadersProblem, parse_headers},
    secret::Secret,
    status::{SinkState, SinkStatus},
    upstream::ClientError,
};
