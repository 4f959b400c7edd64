#![doc = include_str!("../README.md")]

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
