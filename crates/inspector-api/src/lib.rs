#![doc = include_str!("../README.md")]

pub mod decimal;
mod error;
mod metrics;
pub mod optional_decimal;
mod receiver;
mod sink;
mod trace;

pub use error::{ErrorBody, ErrorDetail};
pub use metrics::MetricsStatus;
pub use receiver::Receiver;
pub use sink::{Quarantined, Sink, SinkList, SinkState};
pub use trace::{
    Attribute, AttributeValue, Bands, Event, Link, LogRecord, Span, SpanKind, StatusCode, Trace, TraceList,
    TraceSummary, Warning,
};
