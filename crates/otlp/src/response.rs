//! Answers: `ExportTraceServiceResponse` and `google.rpc.Status`.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde::Serialize;

use crate::{Encoding, Rejection, json};

/// How many rejections the message tells one by one.
const TOLD: usize = 5;

/// Writes the answer to a body that was taken: `partial_success` with their number, and the first few in words, if
/// there are rejections; empty (`{}` in JSON) if there are none.
#[must_use]
pub fn encode_response(rejections: &[Rejection], encoding: Encoding) -> Vec<u8> {
    let partial_success = (!rejections.is_empty()).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejections.len()).unwrap_or(i64::MAX),
        error_message: message(rejections),
    });
    match encoding {
        Encoding::Protobuf => ExportTraceServiceResponse { partial_success }.encode_to_vec(),
        Encoding::Json => json::to_vec(&ResponseOut {
            partial_success: partial_success.map(|partial| PartialSuccessOut {
                rejected_spans: partial.rejected_spans.to_string(),
                error_message: partial.error_message,
            }),
        }),
    }
}

fn message(rejections: &[Rejection]) -> String {
    let mut message = String::new();
    for rejection in rejections.iter().take(TOLD) {
        if !message.is_empty() {
            message.push_str("; ");
        }
        // Writing to a string does not fail.
        let _ = write!(message, "{rejection}");
    }
    if rejections.len() > TOLD {
        let _ = write!(message, "; and {} more", rejections.len() - TOLD);
    }
    message
}

/// Writes the body of an answer that refuses: `google.rpc.Status` with a `google.rpc.Code` such as 3
/// (`INVALID_ARGUMENT`), 8 (`RESOURCE_EXHAUSTED`) or 14 (`UNAVAILABLE`).
#[must_use]
pub fn encode_status(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    let status = RpcStatus { code, message: message.to_owned() };
    match encoding {
        Encoding::Protobuf => status.encode_to_vec(),
        Encoding::Json => json::to_vec(&status),
    }
}

/// `google.rpc.Status` without its details.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<PartialSuccessOut>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartialSuccessOut {
    rejected_spans: String,
    error_message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    fn rejections(count: usize) -> Vec<Rejection> {
        vec![Rejection::new("GET /", Reason::Refused("too old".into())); count]
    }

    #[test]
    fn nothing_rejected_is_an_empty_answer() {
        assert!(encode_response(&[], Encoding::Protobuf).is_empty());
        assert_eq!(encode_response(&[], Encoding::Json), b"{}");
    }

    #[test]
    fn rejections_are_counted_and_told() {
        let body = encode_response(&rejections(7), Encoding::Protobuf);
        let partial = ExportTraceServiceResponse::decode(body.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 7);
        assert_eq!(partial.error_message.matches("too old").count(), 5);
        assert!(partial.error_message.ends_with("; and 2 more"));

        assert_eq!(
            String::from_utf8(encode_response(&rejections(1), Encoding::Json)).unwrap(),
            r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"span \"GET /\": too old"}}"#
        );
    }

    #[test]
    fn a_long_name_is_cut() {
        let rejection = Rejection::new(&"é".repeat(1000), Reason::TooDeep);
        assert_eq!(rejection.span_name, "é".repeat(64));
    }

    #[test]
    fn status_in_both_encodings() {
        assert_eq!(encode_status(3, "no", Encoding::Protobuf), b"\x08\x03\x12\x02no");
        assert_eq!(encode_status(3, "no", Encoding::Json), br#"{"code":3,"message":"no"}"#);
    }
}
