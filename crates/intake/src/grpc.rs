//! OTLP/gRPC (PROTOCOL-HTTP2 of gRPC, unary calls): the bodies of OTLP/HTTP in gRPC frames.
//!
//! The frames are read here and not by a gRPC library, because a library decodes whole messages first: limits could not
//! be enforced while a body arrives, the memory for all bodies would not be bounded, and one malformed record would
//! fail the whole request. Both OTLP receivers therefore differ only in their framing.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use throughline_otlp::{Encoding, RpcCode, encode_response, encode_retry_status, media_type};

use crate::{
    Intake,
    body::{self, Compression},
    config::BodyLimits,
    item::Item,
    receivers::Shared,
    refusal::Refusal,
};

pub(crate) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub(crate) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
pub(crate) const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The length of the prefix of a message: a compression flag and a 32-bit length.
const PREFIX_BYTES: usize = 5;
/// The characters that are percent-encoded in `grpc-message`, in addition to non-ASCII ones.
const NOT_PLAIN: &AsciiSet = &CONTROLS.add(b'%');

/// Handles a call of an `Export` method.
pub(crate) async fn export<R: Item>(State(intake): State<Intake>, request: Request) -> Response {
    let shared = &intake.shared;
    let (parts, mut body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Other content types are not gRPC, and the client would not understand a gRPC response.
    if !content_type.is_some_and(is_protobuf) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match receive::<R>(shared, &parts.headers, &mut body).await {
        Ok(message) => success(&message),
        Err(refusal) => {
            shared.counters.refused(&refusal);
            failure(refusal.grpc_code(), &refusal.to_string(), refusal.retry_after())
        }
    }
}

/// Handles a call of any other method.
pub(crate) async fn unimplemented() -> Response {
    failure(
        RpcCode::Unimplemented,
        "unknown method: only the Export methods of the trace, logs and metrics services are supported",
        None,
    )
}

fn is_protobuf(content_type: &str) -> bool {
    let media_type = media_type(content_type).to_ascii_lowercase();
    matches!(media_type.as_str(), "application/grpc" | "application/grpc+proto")
}

/// Receives and stores the records of a call, and returns the response message.
async fn receive<R: Item>(shared: &Shared, headers: &HeaderMap, body: &mut Body) -> Result<Vec<u8>, Refusal> {
    shared.authorize(headers)?;
    let compression = Compression::named(headers, &ENCODING)?;
    let receiver = &shared.trusted;
    let wire_bytes = receiver.limits.wire_bytes.saturating_add(PREFIX_BYTES);
    let limits = BodyLimits { wire_bytes, inflated_bytes: wire_bytes, ..receiver.limits };
    let framed = body::read_as(body, Compression::None, headers, &limits, &receiver.memory, &shared.counters)
        .await
        .map_err(|refusal| match refusal {
            Refusal::TooLarge { .. } => Refusal::TooLarge { limit_bytes: receiver.limits.wire_bytes, inflated: false },
            other => other,
        })?;
    let (is_compressed, message) = unframe(framed.bytes())?;
    let compression = match (is_compressed, compression) {
        (false, _) => Compression::None,
        (true, Compression::None) => {
            let problem = "the message is compressed, but grpc-encoding names no compression";
            return Err(Refusal::Malformed(problem.to_owned()));
        }
        (true, compression) => compression,
    };
    let message = body::inflate(message, compression, &receiver.limits, &receiver.memory).await?;
    drop(framed);
    let batch = shared.store_body::<R>(&message, Encoding::Protobuf).await?;
    Ok(encode_response(R::SIGNAL, &batch.rejections, Encoding::Protobuf))
}

/// Returns the message of a unary call, and whether it is compressed.
pub(crate) fn unframe(framed: &[u8]) -> Result<(bool, &[u8]), Refusal> {
    let malformed = |problem: &str| Err(Refusal::Malformed(format!("the body is not one gRPC message: {problem}")));
    let Some(([flag, length @ ..], message)) = framed.split_first_chunk::<PREFIX_BYTES>() else {
        return malformed("it is too short");
    };
    if u32::from_be_bytes(*length) as usize != message.len() {
        return malformed("its length does not match its prefix");
    }
    match flag {
        0 => Ok((false, message)),
        1 => Ok((true, message)),
        _ => malformed("its compression flag is neither 0 nor 1"),
    }
}

fn success(message: &[u8]) -> Response {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a response is a count and a short message, far below 4 GiB"));
    framed.put_slice(message);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let headers =
        [(header::CONTENT_TYPE, CONTENT_TYPE), (ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip,zstd"))];
    (headers, Body::new(body)).into_response()
}

/// Builds an error response. It has no message and consists of its trailers only ("Trailers-Only").
fn failure(code: RpcCode, message: &str, retry_after: Option<Duration>) -> Response {
    let mut response = [
        (header::CONTENT_TYPE, CONTENT_TYPE),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip,zstd")),
        (STATUS, HeaderValue::from(code.number())),
    ]
    .into_response();
    let plain = utf8_percent_encode(message, NOT_PLAIN).to_string();
    let plain = HeaderValue::try_from(plain).expect("percent-encoded text is printable ASCII");
    response.headers_mut().insert(MESSAGE, plain);
    if let Some(wait) = retry_after {
        let details = STANDARD_NO_PAD.encode(encode_retry_status(code, message, wait));
        let details = HeaderValue::try_from(details).expect("base64 is printable ASCII");
        response.headers_mut().insert(STATUS_DETAILS, details);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_frames_are_rejected() {
        assert_eq!(unframe(b"\0\0\0\0\x02ab").unwrap(), (false, &b"ab"[..]));
        assert_eq!(unframe(b"\x01\0\0\0\0").unwrap(), (true, &b""[..]));
        for wrong in
            [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\x01ab", b"\x02\0\0\0\0", b"\0\xff\xff\xff\xffa"]
        {
            assert!(matches!(unframe(wrong), Err(Refusal::Malformed(_))), "{wrong:?}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        let response = failure(RpcCode::InvalidArgument, "100 % — no\n\u{7f}\0", None);
        assert_eq!(response.headers()[MESSAGE], "100 %25 %E2%80%94 no%0A%7F%00");
        assert_eq!(response.headers()[STATUS], "3");
        assert!(!response.headers().contains_key(STATUS_DETAILS));
        assert!(
            failure(RpcCode::Unavailable, "busy", Some(Duration::from_secs(1))).headers().contains_key(STATUS_DETAILS)
        );
    }

    #[test]
    fn only_grpc_content_types_are_accepted() {
        for valid in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=y"] {
            assert!(is_protobuf(valid), "{valid}");
        }
        for other in ["application/grpc+json", "application/grpc-web", "application/x-protobuf"] {
            assert!(!is_protobuf(other), "{other}");
        }
    }
}
