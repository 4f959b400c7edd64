//! The model of spans, log records and data points of Throughline, and OTLP in and out: protobuf and JSON.
//!
//! Follows the OpenTelemetry Protocol, version 1: `ExportTraceServiceRequest`, `ExportLogsServiceRequest` and
//! `ExportMetricsServiceRequest` (which are, field by field, `TracesData` and so on), their responses, and `google.rpc.Status` for errors. The model is
//! ours; what goes over the wire is known to this crate alone. What is the same for all is written once, for any
//! [`Record`].
//!
//! Records are plain structs with public fields, as their messages are. Code that stores or converts one names every field, so that
//! the compiler finds all such places when a field is added. What may grow without that, such as errors, is
//! `#[non_exhaustive]`.
//!
//! Reading never fails half way. A body that is not OTLP at all is a [`DecodeError`]; a record that breaks a rule
//! becomes a [`Rejection`] with its [`Reason`], and all others are kept.
//!
//! ```
//! use throughline_otlp::{decode_traces, encode_response, Encoding, Signal};
//!
//! let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[
//!     {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"GET /"},
//!     {"traceId":"5B8E","spanId":"EEE19B7EC3C1B175","name":"GET /"}
//! ]}]}]}"#;
//! let decoded = decode_traces(body, Encoding::Json)?;
//! assert_eq!((decoded.records.len(), decoded.rejections.len()), (1, 1));
//! let response = encode_response(Signal::Traces, &decoded.rejections, Encoding::Json);
//! assert!(response.starts_with(br#"{"partialSuccess":{"rejectedSpans":"1""#));
//! # Ok::<(), throughline_otlp::DecodeError>(())
//! ```

mod assemble;
mod body;
mod clock;
mod data_point;
mod encoding;
mod error;
mod group;
mod json;
mod log_record;
mod protobuf;
mod record;
mod rejection;
mod response;
mod rpc_code;
mod signal;
mod single;
mod span;
mod value;

pub use crate::{
    body::{Decoded, MAX_RECORDS, decode, decode_logs, decode_traces, encode, encode_logs, encode_traces},
    clock::{clocked, is_client_reported, measured_offset},
    data_point::{
        Buckets, DataPoint, Exemplar, ExponentialHistogram, Histogram, Metric, MetricKind, Number, PointValue,
        Quantile, QuantileSummary, Temporality,
    },
    encoding::{Encoding, media_type},
    error::DecodeError,
    log_record::{LogRecord, Severity},
    record::Record,
    rejection::{Reason, Rejection},
    response::{
        PartialSuccess, decode_response, decode_status_message, encode_response, encode_retry_status, encode_status,
    },
    rpc_code::RpcCode,
    signal::Signal,
    single::{decode_record, decode_resource_scope, encode_record, encode_resource_scope},
    span::{Event, Link, Resource, Scope, Span, SpanKind, Status, StatusCode, UNKNOWN_SERVICE},
    value::{KeyValue, MAX_VALUE_DEPTH, Value},
};
