//! Parses the responses of an upstream: `ExportTraceServiceResponse` and its counterparts for the other signals, and
//! `google.rpc.Status` on failure.

use throughline_otlp::{Encoding, PartialSuccess, decode_response, decode_status_message, media_type};

/// The rejected part of a batch.
pub(crate) type Partial = PartialSuccess;

/// Parses the body of a success. `None` if it is not an OTLP response: a captive portal returns 200 for every request.
///
/// JSON is accepted although protobuf was sent, because some collectors respond with it. Any other type except HTML is parsed as
/// protobuf.
pub(crate) fn success(content_type: &str, body: &[u8]) -> Option<Partial> {
    let is_html = media_type(content_type).eq_ignore_ascii_case("text/html");
    if is_html && !body.is_empty() {
        return None;
    }
    let encoding = Encoding::from_content_type(content_type).unwrap_or(Encoding::Protobuf);
    decode_response(body, encoding)
}

/// Returns the message of a failure on one line; empty if there is none that can be parsed.
pub(crate) fn failure(content_type: &str, body: &[u8]) -> String {
    const MAX_CHARS: usize = 300;
    let text = match Encoding::from_content_type(content_type) {
        Some(encoding) => decode_status_message(body, encoding),
        None if media_type(content_type).eq_ignore_ascii_case("text/plain") => {
            Some(String::from_utf8_lossy(body).into_owned())
        }
        None => None,
    };
    let Some(text) = text else { return String::new() };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_otlp::{Reason, Rejection, RpcCode, Signal, encode_response, encode_status};

    #[test]
    fn a_partial_success_is_parsed_in_both_encodings() {
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
    fn a_body_that_is_not_an_otlp_response_is_rejected() {
        assert_eq!(success("text/html", b"<html>"), None);
        assert_eq!(success("application/json", b"[]"), None);
        assert_eq!(success("application/json", b"{"), None);
        assert_eq!(success("application/x-protobuf", b"<!doctype html>"), None);
        assert_eq!(success("application/x-protobuf", b""), Some(Partial::default()));
    }

    #[test]
    fn the_message_of_a_failure_is_parsed() {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let body = encode_status(RpcCode::InvalidArgument, "unknown\n API key", encoding);
            assert_eq!(failure(encoding.content_type(), &body), "unknown API key");
        }
        assert_eq!(failure("application/json", br#"{"error":"unknown API key"}"#), "unknown API key");
        assert_eq!(failure("text/plain; charset=utf-8", b"no\r\nroom"), "no room");
        assert_eq!(failure("text/html", b"<html>"), "");
        assert_eq!(failure("text/plain", &[b'x'; 10_000]).len(), 300);
    }
}
