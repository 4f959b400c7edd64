//! The responses of an upstream: `ExportTraceServiceResponse` and its like for the other signals, and `google.rpc.Status` on
//! failure.

use throughline_otlp::{Encoding, PartialSuccess, decode_response, decode_status_message, media_type};

/// What of a batch was not taken.
pub(crate) type Partial = PartialSuccess;

/// Reads the body of a success. `None` if it is none: a hotel's login page answers 200 to everything.
///
/// JSON is not what was asked for, but some collectors answer so; it is read as the object that it is. Any other type that is not
/// HTML is read as protobuf.
pub(crate) fn success(content_type: &str, body: &[u8]) -> Option<Partial> {
    let is_html = media_type(content_type).eq_ignore_ascii_case("text/html");
    if is_html && !body.is_empty() {
        return None;
    }
    let encoding = Encoding::from_content_type(content_type).unwrap_or(Encoding::Protobuf);
    decode_response(body, encoding)
}

/// The message of a failure, on one line; empty if there is none that can be read.
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
            let body = encode_status(RpcCode::InvalidArgument, "unknown\n API key", encoding);
            assert_eq!(failure(encoding.content_type(), &body), "unknown API key");
        }
        assert_eq!(failure("application/json", br#"{"error":"unknown API key"}"#), "unknown API key");
        assert_eq!(failure("text/plain; charset=utf-8", b"no\r\nroom"), "no room");
        assert_eq!(failure("text/html", b"<html>"), "");
        assert_eq!(failure("text/plain", &[b'x'; 10_000]).len(), 300);
    }
}
