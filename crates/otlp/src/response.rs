//! Responses: `ExportTraceServiceResponse`, its counterparts for logs and metrics, and `google.rpc.Status`.

use std::time::Duration;

use prost::Message;
use serde::Serialize;

use crate::{Encoding, Rejection, RpcCode, Signal, json};

/// The maximum number of rejections that the message lists.
const MAX_LISTED: usize = 5;

/// Encodes the response to an accepted body. If there are rejections, it has a `partial_success` with their number and
/// a message that lists the first few; otherwise it is empty (`{}` in JSON).
#[must_use]
pub fn encode_response(signal: Signal, rejections: &[Rejection], encoding: Encoding) -> Vec<u8> {
    let partial_success = (!rejections.is_empty())
        .then(|| PartialSuccessMessage { rejected: rejections.len() as i64, error_message: message(rejections) });
    match encoding {
        Encoding::Protobuf => Response { partial_success }.encode_to_vec(),
        Encoding::Json => json::to_vec(&ResponseOut {
            partial_success: partial_success.map(|partial| {
                let rejected = Some(partial.rejected.to_string());
                let mut out =
                    PartialSuccessOut { error_message: partial.error_message, ..PartialSuccessOut::default() };
                match signal {
                    Signal::Traces => out.rejected_spans = rejected,
                    Signal::Logs => out.rejected_log_records = rejected,
                    Signal::Metrics => out.rejected_data_points = rejected,
                }
                out
            }),
        }),
    }
}

fn message(rejections: &[Rejection]) -> String {
    let mut message = String::new();
    for rejection in rejections.iter().take(MAX_LISTED) {
        if !message.is_empty() {
            message.push_str("; ");
        }
        message.push_str(&rejection.to_string());
    }
    if rejections.len() > MAX_LISTED {
        message.push_str(&format!("; and {} more", rejections.len() - MAX_LISTED));
    }
    message
}

/// The partial success of a response: the number of rejected records, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// The number of rejected records.
    pub rejected: u64,
    /// The reason, or a warning if no record was rejected; may be empty.
    pub message: String,
}

/// Decodes the response to a request of any signal. Returns `None` if the body is not such a response.
///
/// An empty body is a full success in both encodings, and so is a response without a partial success.
#[must_use]
pub fn decode_response(body: &[u8], encoding: Encoding) -> Option<PartialSuccess> {
    if body.is_empty() {
        return Some(PartialSuccess::default());
    }
    let partial = match encoding {
        Encoding::Protobuf => Response::decode(body).ok()?.partial_success,
        Encoding::Json => return decode_json_response(body),
    };
    Some(partial.map_or_else(PartialSuccess::default, |partial| PartialSuccess {
        rejected: u64::try_from(partial.rejected).unwrap_or(0),
        message: partial.error_message,
    }))
}

fn decode_json_response(body: &[u8]) -> Option<PartialSuccess> {
    let response: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let Some(partial) = response.get("partialSuccess") else { return Some(PartialSuccess::default()) };
    let rejected =
        ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"].into_iter().find_map(|key| partial.get(key));
    // A 64-bit integer is a string in ProtoJSON; a number is accepted as well.
    let rejected = rejected.map_or(0, |rejected| match rejected {
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    });
    let message = partial.get("errorMessage").and_then(serde_json::Value::as_str).unwrap_or("");
    Some(PartialSuccess { rejected, message: message.to_owned() })
}

/// Decodes the message of an error response, which should be a `google.rpc.Status`; returns `None` if it is not. In
/// JSON, an object with a text field `error` instead of `message` is accepted too.
#[must_use]
pub fn decode_status_message(body: &[u8], encoding: Encoding) -> Option<String> {
    match encoding {
        Encoding::Protobuf => RpcStatus::decode(body).ok().map(|status| status.message),
        Encoding::Json => {
            let status: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
            ["message", "error"].into_iter().find_map(|key| Some(status.get(key)?.as_str()?.to_owned()))
        }
    }
}

/// Encodes the body of an error response: a `google.rpc.Status`.
#[must_use]
pub fn encode_status(code: RpcCode, message: &str, encoding: Encoding) -> Vec<u8> {
    let status = RpcStatus { code: code.number(), message: message.to_owned() };
    match encoding {
        Encoding::Protobuf => status.encode_to_vec(),
        Encoding::Json => json::to_vec(&status),
    }
}

/// Encodes a `google.rpc.Status` in protobuf with a `google.rpc.RetryInfo` in its details: the delay after which gRPC clients may retry.
#[must_use]
pub fn encode_retry_status(code: RpcCode, message: &str, retry_after: Duration) -> Vec<u8> {
    let retry_info = RetryInfo {
        retry_delay: Some(DurationMessage {
            seconds: i64::try_from(retry_after.as_secs()).unwrap_or(i64::MAX),
            nanos: retry_after.subsec_nanos().cast_signed(),
        }),
    };
    let detail =
        Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: retry_info.encode_to_vec() };
    DetailedStatus { code: code.number(), message: message.to_owned(), details: vec![detail] }.encode_to_vec()
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, Message)]
struct DetailedStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Eq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<DurationMessage>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Eq, Message)]
struct DurationMessage {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `google.rpc.Status` without its details.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// `ExportTraceServiceResponse`, `ExportLogsServiceResponse` and `ExportMetricsServiceResponse`, which are the same in
/// protobuf.
#[derive(Clone, PartialEq, Eq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccessMessage>,
}

/// `ExportTracePartialSuccess` and so on.
#[derive(Clone, PartialEq, Eq, Message)]
struct PartialSuccessMessage {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<PartialSuccessOut>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartialSuccessOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_spans: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_log_records: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_data_points: Option<String>,
    error_message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;
    use opentelemetry_proto::tonic::collector::{
        logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
        trace::v1::ExportTraceServiceResponse,
    };

    const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    fn rejections(signal: Signal, count: usize) -> Vec<Rejection> {
        vec![Rejection::new(signal, "GET /", Reason::Refused("too old".into())); count]
    }

    #[test]
    fn a_response_without_rejections_is_empty() {
        for signal in ALL {
            assert!(encode_response(signal, &[], Encoding::Protobuf).is_empty());
            assert_eq!(encode_response(signal, &[], Encoding::Json), b"{}");
        }
    }

    #[test]
    fn rejections_are_counted_and_listed() {
        let body = encode_response(Signal::Traces, &rejections(Signal::Traces, 7), Encoding::Protobuf);
        let partial = ExportTraceServiceResponse::decode(body.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 7);
        assert_eq!(partial.error_message.matches("too old").count(), 5);
        assert!(partial.error_message.ends_with("; and 2 more"));
        let body = encode_response(Signal::Logs, &rejections(Signal::Logs, 300), Encoding::Protobuf);
        let partial = ExportLogsServiceResponse::decode(body.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_log_records, 300);
        let body = encode_response(Signal::Metrics, &rejections(Signal::Metrics, 2), Encoding::Protobuf);
        let partial = ExportMetricsServiceResponse::decode(body.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_data_points, 2);

        let json = |signal| String::from_utf8(encode_response(signal, &rejections(signal, 1), Encoding::Json)).unwrap();
        assert_eq!(
            json(Signal::Traces),
            r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"span \"GET /\": too old"}}"#
        );
        assert_eq!(
            json(Signal::Logs),
            r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"log record \"GET /\": too old"}}"#
        );
        assert_eq!(
            json(Signal::Metrics),
            r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"data point \"GET /\": too old"}}"#
        );
    }

    #[test]
    fn encoded_responses_are_decoded() {
        for signal in ALL {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let read = |rejections: &[_]| {
                    decode_response(&encode_response(signal, rejections, encoding), encoding).unwrap()
                };
                let partial = read(&rejections(signal, 3));
                assert_eq!(partial.rejected, 3);
                assert!(partial.message.contains("too old"), "{}", partial.message);
                assert_eq!(read(&[]), PartialSuccess::default());
                let status = encode_status(RpcCode::Unauthenticated, "unknown key", encoding);
                assert_eq!(decode_status_message(&status, encoding).unwrap(), "unknown key");
            }
        }
    }

    #[test]
    fn responses_of_other_receivers_are_decoded() {
        let json = |text: &str| decode_response(text.as_bytes(), Encoding::Json);
        let partial = json(r#"{"partialSuccess":{"rejectedSpans":2}}"#).unwrap();
        assert_eq!((partial.rejected, partial.message.as_str()), (2, ""));
        assert_eq!(json("{}"), Some(PartialSuccess::default()));
        assert_eq!(json(r#"{"partialSuccess":null}"#), Some(PartialSuccess::default()));
        let warning = decode_response(b"\x0a\x04\x12\x02no", Encoding::Protobuf).unwrap();
        assert_eq!((warning.rejected, warning.message.as_str()), (0, "no"));
        let negative = decode_response(b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Encoding::Protobuf);
        assert_eq!(negative.unwrap().rejected, 0);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            assert_eq!(decode_response(b"", encoding), Some(PartialSuccess::default()));
            assert_eq!(decode_response(b"<!doctype html>", encoding), None);
        }
        for none in ["[]", "{", "1"] {
            assert_eq!(json(none), None, "{none}");
        }
        let message = |text: &str| decode_status_message(text.as_bytes(), Encoding::Json);
        assert_eq!(message(r#"{"error":"unknown key"}"#).as_deref(), Some("unknown key"));
        assert_eq!(message(r#"{"error":{}}"#), None);
        assert_eq!(message("null"), None);
    }

    #[test]
    fn a_long_name_is_truncated() {
        let rejection = Rejection::new(Signal::Traces, &"é".repeat(1000), Reason::TooDeep);
        assert_eq!(rejection.name, "é".repeat(64));
    }

    #[test]
    fn the_retry_delay_is_in_the_status_details() {
        let body = encode_retry_status(RpcCode::Unavailable, "no", Duration::from_millis(1_500));
        let status = DetailedStatus::decode(body.as_slice()).unwrap();
        assert_eq!((status.code, status.message.as_str()), (14, "no"));
        let delay = RetryInfo::decode(status.details[0].value.as_slice()).unwrap().retry_delay.unwrap();
        assert_eq!((delay.seconds, delay.nanos), (1, 500_000_000));
    }

    #[test]
    fn a_status_is_encoded_in_both_encodings() {
        assert_eq!(encode_status(RpcCode::InvalidArgument, "no", Encoding::Protobuf), b"\x08\x03\x12\x02no");
        assert_eq!(encode_status(RpcCode::InvalidArgument, "no", Encoding::Json), br#"{"code":3,"message":"no"}"#);
    }
}
