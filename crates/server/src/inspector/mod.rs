//! The inspector's API: traces as people look at them.

mod access;
mod align;
mod convert;
mod live;
mod metrics;
mod routes;
mod sinks;

pub(crate) use access::{Gate, enter};
pub(crate) use metrics::metrics_router;
pub(crate) use routes::router;
pub(crate) use sinks::Sinks;
