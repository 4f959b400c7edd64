//! The JSON bodies between the inspector's server and the inspector's page.
//!
//! Each type is the body, or a part of the body, of one route below `/api`; its documentation names the route. The crate depends on
//! `serde` alone, so that it compiles for the browser and for the server, and for programs that read the API.
//!
//! ```
//! use throughline_inspector_api::ErrorBody;
//!
//! let body: ErrorBody = serde_json::from_str(r#"{"error":{"code":"no_such_trace","message":"there is no such trace"}}"#)?;
//! assert_eq!(body.error.code, "no_such_trace");
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod decimal;
mod error;
mod metrics;
pub mod optional_decimal;
mod sink;
mod trace;

pub use error::{ErrorBody, ErrorDetail};
pub use metrics::MetricsStatus;
pub use sink::{SetAside, Sink, SinkList, SinkState};
pub use trace::{
    Attribute, AttributeValue, Bands, Event, Link, LogRecord, Span, SpanKind, StatusCode, Trace, TraceList,
    TraceSummary, Warning,
};
