#![doc = include_str!("../README.md")]

#[cfg(feature = "b3")]
mod b3;
mod baggage;
mod names;
mod propagator;
mod trace_context;
#[cfg(feature = "xray")]
mod xray;

pub use names::PropagatorsError;
pub use propagator::Propagator;
pub use trace_context::trace_parent;
