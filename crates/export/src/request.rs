//! One request of OTLP over HTTP, and what its response means.
//!
//! By the OTLP specification, "OTLP/HTTP": 429, 502, 503, 504 and broken connections are retried, with `Retry-After` where it is
//! sent; 2xx is taken, perhaps in part; all else is refused for good.

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
/// Of a receiver's own words, characters.
const MAX_WORDS: usize = 200;

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken, but for as many spans, with the receiver's words about those.
    Taken { rejected: u64, words: String },
    /// Not now; perhaps later, and not before a time that the receiver has named.
    NotNow { problem: String, retry_after: Option<Duration> },
    /// Never.
    Refused { problem: String },
}

/// Posts bodies.
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

/// `google.rpc.Status`, as far as it is of interest.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

impl Poster {
    pub(crate) fn new(client: Arc<dyn HttpClient>, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// The body as it is sent: compressed once, however often it is tried.
    pub(crate) fn compress(&self, body: Bytes) -> Bytes {
        match self.endpoint.compression {
            #[cfg(feature = "gzip")]
            Some(Compression::Gzip) => gzip(&body),
            #[cfg(not(feature = "gzip"))]
            Some(Compression::Gzip) => unreachable!("an endpoint with gzip is refused without the feature"),
            None => body,
        }
    }

    /// Posts a body that [`compress`](Self::compress) has returned, and waits for the response.
    pub(crate) fn post(&self, body: Bytes) -> Answer {
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
            Ok(Ok(response)) => answer(&response),
            Ok(Err(error)) => Answer::NotNow { problem: root_cause(&*error), retry_after: None },
            Err(panic) => Answer::Refused { problem: format!("the HTTP client panicked: {}", panic_text(&*panic)) },
        }
    }
}

fn answer(response: &Response<Bytes>) -> Answer {
    let status = response.status();
    if status.is_success() {
        // A receiver may answer nothing, or in JSON: then all is taken.
        let response = ExportTraceServiceResponse::decode(response.body().clone());
        let partial = response.ok().and_then(|response| response.partial_success);
        return match partial {
            Some(ExportTracePartialSuccess { rejected_spans, error_message }) => {
                Answer::Taken { rejected: rejected_spans.max(0).cast_unsigned(), words: shortened(&error_message) }
            }
            None => Answer::Taken { rejected: 0, words: String::new() },
        };
    }
    let problem = problem(response);
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Answer::NotNow { problem, retry_after: retry_after(response.headers(), SystemTime::now()) }
        }
        _ => Answer::Refused { problem },
    }
}

/// The status, with the receiver's words if it sent some in protobuf.
fn problem(response: &Response<Bytes>) -> String {
    let status = response.status().as_u16();
    let is_protobuf = response.headers().get(CONTENT_TYPE).is_some_and(|kind| *kind == PROTOBUF);
    let words = if is_protobuf { Status::decode(response.body().clone()).ok() } else { None };
    match words {
        Some(Status { message }) if !message.is_empty() => format!("HTTP status {status}: {}", shortened(&message)),
        _ => format!("HTTP status {status}"),
    }
}

fn shortened(words: &str) -> String {
    words.chars().filter(|character| !character.is_control()).take(MAX_WORDS).collect()
}

/// The innermost error in words. The outer ones of some clients repeat the address, credentials and all.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("no response: {cause}")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

#[cfg(feature = "gzip")]
fn gzip(body: &[u8]) -> Bytes {
    use std::io::Write as _;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory does not fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: Vec<u8>) -> Response<Bytes> {
        Response::builder().status(status).header(CONTENT_TYPE, PROTOBUF).body(body.into()).unwrap()
    }

    fn partial(rejected_spans: i64, words: &str) -> Answer {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: words.to_owned() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        answer(&response(200, body))
    }

    #[test]
    fn what_is_taken_in_part_is_taken() {
        let taken = |rejected, words: &str| Answer::Taken { rejected, words: words.to_owned() };
        assert_eq!(partial(0, ""), taken(0, ""));
        assert_eq!(partial(3, "too\nlong"), taken(3, "toolong"));
        assert_eq!(partial(-1, ""), taken(0, ""));
        assert_eq!(answer(&response(202, Vec::new())), taken(0, ""));
        assert_eq!(answer(&response(200, b"{}".to_vec())), taken(0, ""));
    }

    #[test]
    fn statuses_are_retried_or_not() {
        for status in [429, 502, 503, 504] {
            assert!(matches!(answer(&response(status, Vec::new())), Answer::NotNow { retry_after: None, .. }));
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let refused = answer(&response(status, Vec::new()));
            assert_eq!(refused, Answer::Refused { problem: format!("HTTP status {status}") });
        }
        let mut later = response(503, Vec::new());
        later.headers_mut().insert("retry-after", HeaderValue::from_static("9"));
        assert!(matches!(answer(&later), Answer::NotNow { retry_after: Some(pause), .. } if pause.as_secs() == 9));
        let words = Status { message: "no such key".to_owned() }.encode_to_vec();
        let refused = answer(&response(401, words));
        assert_eq!(refused, Answer::Refused { problem: "HTTP status 401: no such key".to_owned() });
    }
}
