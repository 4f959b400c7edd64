#![doc = include_str!("../README.md")]

mod config;
mod context;
mod encode;
mod measure;
mod queue;
mod span;
mod summary;
mod web;

pub use config::Config;
pub use context::{Context, InContext};
pub use span::{Attributes, SpanContext, Value};
pub use summary::{Network, RequestSummary, Status};
pub use throughline_context::{self as trace_context, keys, redact_url};
pub use throughline_timing as timing;
pub use web::{
    action::{Action, action},
    app_ready, current, dropped, flush, http, init, navigation, on_request, on_status, set_user_id,
};
