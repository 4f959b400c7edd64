//! The span model of Throughline, and OTLP in and out: protobuf and JSON.
//!
//! Follows the OpenTelemetry Protocol, version 1: `ExportTraceServiceRequest` (which is, field by field,
//! `TracesData`), its response, and `google.rpc.Status` for errors. The model is ours; what goes over the wire
//! is known to this crate alone.
//!
//! Reading never fails half way. A body that is not OTLP at all is a [`DecodeError`]; a span that breaks a rule
//! becomes a [`Rejection`] with its [`Reason`], and all others are kept.
//!
//! ```
//! use throughline_otlp::{decode_traces, encode_response, Encoding};
//!
//! let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[
//!     {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"GET /"},
//!     {"traceId":"5B8E","spanId":"EEE19B7EC3C1B175","name":"GET /"}
//! ]}]}]}"#;
//! let decoded = decode_traces(body, Encoding::Json)?;
//! assert_eq!((decoded.spans.len(), decoded.rejections.len()), (1, 1));
//! let response = encode_response(&decoded.rejections, Encoding::Json);
//! assert!(response.starts_with(br#"{"partialSuccess":{"rejectedSpans":"1""#));
//! # Ok::<(), throughline_otlp::DecodeError>(())
//! ```

mod assemble;
mod encoding;
mod error;
mod group;
mod json;
mod protobuf;
mod rejection;
mod response;
mod single;
mod span;
mod traces;
mod value;

pub use throughline_context as context;

pub use crate::{
    encoding::Encoding,
    error::DecodeError,
    rejection::{Reason, Rejection},
    response::{encode_response, encode_status},
    single::{decode_resource_scope, decode_span, encode_resource_scope, encode_span},
    span::{Event, Link, Resource, Scope, Span, SpanKind, Status, StatusCode, UNKNOWN_SERVICE},
    traces::{Decoded, MAX_SPANS, decode_traces, encode_traces},
    value::{KeyValue, MAX_VALUE_DEPTH, Value},
};
