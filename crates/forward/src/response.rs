//! What the upstream answers: `ExportTraceServiceResponse` or `ExportLogsServiceResponse`, and `google.rpc.Status` on
//! failure.

use prost::Message;

/// The same in protobuf for both.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// What of a batch was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partial {
    pub(crate) rejected: u64,
    /// May be there without any rejected, as a warning.
    pub(crate) message: String,
}

/// Reads the body of a success. `None` if it is none: a hotel's login page answers 200 to everything.
///
/// JSON is not what was asked for, but some collectors answer so; it is taken for what it is, an object.
pub(crate) fn success(content_type: &str, body: &[u8]) -> Option<Partial> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if body.is_empty() {
        return Some(Partial::default());
    }
    if essence.eq_ignore_ascii_case("application/json") {
        return json_success(body);
    }
    if essence.eq_ignore_ascii_case("text/html") {
        return None;
    }
    let partial = ExportResponse::decode(body).ok()?.partial_success.unwrap_or_default();
    Some(Partial { rejected: u64::try_from(partial.rejected).unwrap_or(0), message: partial.error_message })
}

fn json_success(body: &[u8]) -> Option<Partial> {
    let response: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let Some(partial) = response.get("partialSuccess") else { return Some(Partial::default()) };
    // A 64-bit integer is a string in protobuf's JSON; a number is taken as well.
    let rejected =
        ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"].into_iter().find_map(|key| partial.get(key));
    let rejected = rejected.map(|rejected| match rejected {
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    });
    let message = partial.get("errorMessage").and_then(serde_json::Value::as_str).unwrap_or_default();
    Some(Partial { rejected: rejected.unwrap_or(0), message: message.to_owned() })
}

/// What a failure says in words, on one line; empty if it says nothing that can be read.
pub(crate) fn failure(content_type: &str, body: &[u8]) -> String {
    const MAX_CHARS: usize = 300;
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = match essence.as_str() {
        "application/x-protobuf" => RpcStatus::decode(body).map(|status| status.message).unwrap_or_default(),
        "application/json" => {
            let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let said = ["message", "error"].into_iter().find_map(|key| value.get(key)?.as_str());
            said.unwrap_or_default().to_owned()
        }
        "text/plain" => String::from_utf8_lossy(body).into_owned(),
        _ => String::new(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_otlp::{Encoding, Reason, Rejection, Signal, encode_response, encode_status};

    #[test]
    fn partial_success_in_both_encodings() {
        for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
            let rejections = vec![Rejection::new(signal, "a", Reason::Refused("too long".into())); 3];
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let answer = |rejections| {
                    success(encoding.content_type(), &encode_response(signal, rejections, encoding)).unwrap()
                };
                let partial = answer(&rejections);
                assert_eq!(partial.rejected, 3);
                assert!(partial.message.contains("too long"), "{}", partial.message);
                assert_eq!(answer(&[]), Partial::default());
            }
        }
    }

    #[test]
    fn what_is_no_answer() {
        assert_eq!(success("text/html", b"<html>"), None);
        assert_eq!(success("application/json", b"[]"), None);
        assert_eq!(success("application/json", b"{"), None);
        assert_eq!(success("application/x-protobuf", b"<!doctype html>"), None);
        assert_eq!(success("application/x-protobuf", b""), Some(Partial::default()));
    }

    #[test]
    fn failures_in_words() {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let body = encode_status(3, "unknown\n API key", encoding);
            assert_eq!(failure(encoding.content_type(), &body), "unknown API key");
        }
        assert_eq!(failure("application/json", br#"{"error":"unknown API key"}"#), "unknown API key");
        assert_eq!(failure("text/plain; charset=utf-8", b"no\r\nroom"), "no room");
        assert_eq!(failure("text/html", b"<html>"), "");
        assert_eq!(failure("text/plain", &[b'x'; 10_000]).len(), 300);
    }
}
