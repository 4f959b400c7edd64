#![doc = include_str!("../README.md")]

mod alignment;
mod backoff;
mod config;
mod endpoint;
mod forwarder;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod otlp;
mod outgoing;
mod response;
mod sampling;
mod sampling_rule;
mod secret;
mod sink;
mod status;
mod upstream;
mod worker;

pub use crate::{
    config::{BackoffConfig, Delivery, ForwardConfig, OtlpSink},
    endpoint::{EndpointError, logs_endpoint, metrics_endpoint, traces_endpoint},
    forwarder::{Forwarder, Sources, spawn, spawn_sink},
    headers::{HeadersError, HeadersProblem, parse_headers},
    sampling::Sampling,
    sampling_rule::SamplingRule,
    sink::{Answer, Records, Sink},
    status::{SinkState, SinkStatus},
    upstream::ClientError,
};
