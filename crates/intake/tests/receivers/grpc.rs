//! Tests of the OTLP/gRPC receiver.

use axum::body::{Body, Bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use throughline_intake::{OtlpToken, grpc_router};
use throughline_otlp::{Encoding, LogRecord, Signal, Span, encode, encode_response};
use tower::ServiceExt as _;

use crate::{
    Bench, bench, bench_with, gzip,
    sample::{Sample, trace_id},
    with, zstd,
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

fn call(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/grpc").body(body.into()).unwrap()
}

/// A response: status, message, details, and the body.
#[derive(Debug)]
struct Reply {
    status: String,
    message: String,
    details: Option<Vec<u8>>,
    body: Bytes,
}

async fn send(bench: &Bench, request: Request<Body>) -> Reply {
    let response = grpc_router(bench.intake.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "errors are reported in trailers");
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["content-type"], "application/grpc");
    let body = body.collect().await.unwrap();
    let trailers: HeaderMap = body.trailers().cloned().unwrap_or(parts.headers);
    let text = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Reply {
        status: text("grpc-status").unwrap(),
        message: text("grpc-message").unwrap_or_default(),
        details: text("grpc-status-details-bin").map(|text| STANDARD_NO_PAD.decode(text).unwrap()),
        body: body.to_bytes(),
    }
}

async fn refused(bench: &Bench, request: Request<Body>, status: &str, words: &str) -> Reply {
    let reply = send(bench, request).await;
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(reply.message.contains(words), "{words}: {reply:?}");
    assert!(reply.body.is_empty());
    reply
}

#[tokio::test]
async fn plain_and_compressed_messages_are_stored() {
    let bench = bench();
    for (number, name) in ["identity", "gzip", "zstd"].into_iter().enumerate() {
        let message = encode(&[Span::sample(number as u64)], Encoding::Protobuf);
        let framed = match name {
            "gzip" => frame(1, &gzip(&message)),
            "zstd" => frame(1, &zstd(&message)),
            _ => frame(0, &message),
        };
        let reply = send(&bench, with(call(TRACES, framed), "grpc-encoding", name)).await;
        assert_eq!((reply.status.as_str(), &reply.body[..]), ("0", &frame(0, b"")[..]), "{name}");
    }
    // A call that declares a compression may send uncompressed messages.
    let message = encode(&[LogRecord::sample(0)], Encoding::Protobuf);
    let reply = send(&bench, with(call(LOGS, frame(0, &message)), "grpc-encoding", "gzip")).await;
    assert_eq!(reply.status, "0");
    assert_eq!(bench.stored::<Span>().await, (0..3).map(Span::sample).collect::<Vec<_>>());
    assert_eq!(bench.stored::<LogRecord>().await, [LogRecord::sample(0)]);
}

#[tokio::test]
async fn an_empty_request_succeeds() {
    let reply = send(&bench(), call(TRACES, frame(0, b""))).await;
    assert_eq!(reply.status, "0");
}

#[tokio::test]
async fn invalid_ids_are_a_partial_success() {
    let bench = bench();
    let mut message = encode(&[Span::sample(0), Span::sample(1)], Encoding::Protobuf);
    let id = trace_id().to_bytes();
    let at = message.windows(16).rposition(|bytes| bytes == id).unwrap();
    message[at..at + 16].fill(0);
    let reply = send(&bench, call(TRACES, frame(0, &message))).await;
    assert_eq!(reply.status, "0");
    assert!(String::from_utf8_lossy(&reply.body).contains("sample 1"), "{reply:?}");
    assert_ne!(reply.body[5..], encode_response(Signal::Traces, &[], Encoding::Protobuf));
    assert_eq!(bench.stored::<Span>().await, [Span::sample(0)]);
}

#[tokio::test]
async fn every_refusal_has_its_status_code() {
    let bench = bench_with(|config| {
        config.limits.otlp_body.wire_bytes = 10_000;
        config.limits.otlp_body.inflated_bytes = 50_000;
    });
    for body in [&b""[..], b"\0\0\0\0\x09abc", b"\x07\0\0\0\0"] {
        refused(&bench, call(TRACES, body), "3", "one gRPC message").await;
    }
    refused(&bench, call(TRACES, frame(0, &[0xff; 9])), "3", "not OTLP").await;
    refused(&bench, call(TRACES, frame(1, b"x")), "3", "grpc-encoding").await;
    refused(&bench, with(call(TRACES, frame(1, b"x")), "grpc-encoding", "gzip"), "3", "not gzip").await;
    refused(&bench, with(call(TRACES, frame(0, b"")), "grpc-encoding", "snappy"), "12", "gzip, zstd").await;
    refused(&bench, call(TRACES, frame(0, &[0; 10_001])), "8", "larger than 10000 bytes").await;
    for (name, bomb) in [("gzip", gzip(&[0; 50_001])), ("zstd", zstd(&[0; 50_001]))] {
        let bomb = with(call(TRACES, frame(1, &bomb)), "grpc-encoding", name);
        refused(&bench, bomb, "8", "larger than 50000 bytes after decompression").await;
    }
    refused(&bench, call("/opentelemetry.proto.collector.profiles.v1.X/Export", ""), "12", "Export").await;
    refused(&bench, with(call(TRACES, frame(0, b"")), "origin", "http://127.0.0.1"), "7", "origin").await;
    let http = Request::post(TRACES).header("content-type", "application/json").body(Body::empty()).unwrap();
    let response = grpc_router(bench.intake.clone()).oneshot(http).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(bench.is_empty().await);
}

#[tokio::test]
async fn a_closed_store_returns_retry_info() {
    let bench = bench();
    bench.store.close().await;
    let message = encode(&[Span::sample(0)], Encoding::Protobuf);
    let reply = refused(&bench, call(TRACES, frame(0, &message)), "14", "try again").await;
    let details = String::from_utf8_lossy(&reply.details.unwrap()).into_owned();
    assert!(details.contains("google.rpc.RetryInfo"), "{details}");
}

#[tokio::test]
async fn only_requests_with_the_token_are_accepted() {
    let bench = bench_with(|config| config.otlp_token = Some(OtlpToken::new("0123456789abcdef")));
    let message = frame(0, &encode(&[Span::sample(0)], Encoding::Protobuf));
    refused(&bench, call(TRACES, message.clone()), "16", "token").await;
    let wrong = with(call(TRACES, message.clone()), "authorization", "Bearer 0123456789abcdeF");
    refused(&bench, wrong, "16", "token").await;
    assert!(bench.is_empty().await);
    let right = with(call(TRACES, message), "authorization", "Bearer 0123456789abcdef");
    assert_eq!(send(&bench, right).await.status, "0");
    assert_eq!(bench.intake.stats().refused_requests.token, 2);
}
