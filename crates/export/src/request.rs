//! OTLP/HTTP requests, and the meaning of their responses.
//!
//! As in the OTLP specification, section "OTLP/HTTP": 429, 502, 503, 504 and broken connections are retried, after
//! `Retry-After` if it is sent; 2xx is success, perhaps partial; every other status is a permanent failure.

use std::{
    any::Any,
    error::Error as StdError,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT},
};
use opentelemetry_http::HttpClient;
use prost::Message;

use crate::{
    endpoint::{Compression, Endpoint},
    retry::retry_after,
};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: &str = concat!("throughline-export/", env!("CARGO_PKG_VERSION"));
/// The maximum length of a receiver's message, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestResult {
    /// The batch was accepted, except for `rejected` spans; `message` is the receiver's message.
    Accepted { rejected: u64, message: String },
    /// The request failed and can be retried, not before `retry_after` if the receiver sent it.
    Retry { problem: String, retry_after: Option<Duration> },
    /// The request failed and must not be retried.
    Refused { problem: String },
}

/// Sends request bodies to the endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Poster {
    client: Arc<dyn HttpClient>,
    endpoint: Endpoint,
}

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportTracePartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportTracePartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The used part of `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

impl Poster {
    pub(crate) fn new(client: Arc<dyn HttpClient>, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// Compresses a body, once for all attempts, if compression is enabled.
    pub(crate) fn compress(&self, body: Bytes) -> Bytes {
        match self.endpoint.compression {
            #[cfg(feature = "gzip")]
            Some(Compression::Gzip) => gzip(&body),
            #[cfg(not(feature = "gzip"))]
            Some(Compression::Gzip) => unreachable!("`Builder::build` rejects gzip without the feature"),
            None => body,
        }
    }

    /// Posts a body that [`compress`](Self::compress) has returned, and waits for the response.
    pub(crate) fn post(&self, body: Bytes) -> RequestResult {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(self.endpoint.headers.clone());
        headers.insert(CONTENT_TYPE, PROTOBUF);
        if self.endpoint.compression.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let send = || futures_executor::block_on(self.client.send_bytes(request));
        match catch_unwind(AssertUnwindSafe(send)) {
            Ok(Ok(response)) => interpret(&response),
            Ok(Err(error)) => RequestResult::Retry { problem: root_cause(&*error), retry_after: None },
            Err(panic) => {
                RequestResult::Refused { problem: format!("the HTTP client panicked: {}", panic_text(&*panic)) }
            }
        }
    }
}

fn interpret(response: &Response<Bytes>) -> RequestResult {
    let status = response.status();
    if status.is_success() {
        // An empty or a JSON body counts as full success.
        let response = ExportTraceServiceResponse::decode(response.body().clone());
        let partial = response.ok().and_then(|response| response.partial_success);
        return match partial {
            Some(ExportTracePartialSuccess { rejected_spans, error_message }) => RequestResult::Accepted {
                rejected: rejected_spans.max(0).cast_unsigned(),
                message: shortened(&error_message),
            },
            None => RequestResult::Accepted { rejected: 0, message: String::new() },
        };
    }
    let problem = problem(response);
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            RequestResult::Retry { problem, retry_after: retry_after(response.headers(), SystemTime::now()) }
        }
        _ => RequestResult::Refused { problem },
    }
}

/// Describes a failure by the status, and the receiver's message if it sent one in protobuf.
fn problem(response: &Response<Bytes>) -> String {
    let status = response.status().as_u16();
    let is_protobuf = response.headers().get(CONTENT_TYPE).is_some_and(|kind| *kind == PROTOBUF);
    let message = if is_protobuf { Status::decode(response.body().clone()).ok() } else { None };
    match message {
        Some(Status { message }) if !message.is_empty() => format!("HTTP status {status}: {}", shortened(&message)),
        _ => format!("HTTP status {status}"),
    }
}

fn shortened(message: &str) -> String {
    message.chars().filter(|character| !character.is_control()).take(MAX_MESSAGE_CHARS).collect()
}

/// Describes the innermost error. The outer errors of some clients contain the URL with its credentials.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("no response: {cause}")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a message")
}

#[cfg(feature = "gzip")]
fn gzip(body: &[u8]) -> Bytes {
    use std::io::Write as _;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to a Vec does not fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: Vec<u8>) -> Response<Bytes> {
        Response::builder().status(status).header(CONTENT_TYPE, PROTOBUF).body(body.into()).unwrap()
    }

    fn partial(rejected_spans: i64, message: &str) -> RequestResult {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: message.to_owned() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        interpret(&response(200, body))
    }

    #[test]
    fn partial_success_is_success() {
        let accepted = |rejected, message: &str| RequestResult::Accepted { rejected, message: message.to_owned() };
        assert_eq!(partial(0, ""), accepted(0, ""));
        assert_eq!(partial(3, "too\nlong"), accepted(3, "toolong"));
        assert_eq!(partial(-1, ""), accepted(0, ""));
        assert_eq!(interpret(&response(202, Vec::new())), accepted(0, ""));
        assert_eq!(interpret(&response(200, b"{}".to_vec())), accepted(0, ""));
    }

    #[test]
    fn only_some_statuses_are_retried() {
        for status in [429, 502, 503, 504] {
            assert!(matches!(interpret(&response(status, Vec::new())), RequestResult::Retry { retry_after: None, .. }));
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let refused = interpret(&response(status, Vec::new()));
            assert_eq!(refused, RequestResult::Refused { problem: format!("HTTP status {status}") });
        }
        let mut later = response(503, Vec::new());
        later.headers_mut().insert("retry-after", HeaderValue::from_static("9"));
        assert!(
            matches!(interpret(&later), RequestResult::Retry { retry_after: Some(pause), .. } if pause.as_secs() == 9)
        );
        let message = Status { message: "no such key".to_owned() }.encode_to_vec();
        let refused = interpret(&response(401, message));
        assert_eq!(refused, RequestResult::Refused { problem: "HTTP status 401: no such key".to_owned() });
    }
}
