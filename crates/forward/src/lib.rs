#![doc = include_str!("../README.md")]

mod alignment;
mod backoff;
mod config;
mod endpoint;
mod forwarder;
mod headers;
mod outgoing;
mod response;
mod sampling;
mod sampling_rule;
mod secret;
mod status;
mod upstream;
mod worker;

pub use crate::{
    config::{BackoffConfig, ForwardConfig, OtlpSink},
    endpoint::{EndpointError, logs_endpoint, traces_endpoint},
    forwarder::{Forwarder, spawn},
    headers::{HeadersError, HeadersProblem, parse_headers},
    sampling::Sampling,
    sampling_rule::SamplingRule,
    secret::Secret,
    status::{SinkState, SinkStatus},
    upstream::ClientError,
};
