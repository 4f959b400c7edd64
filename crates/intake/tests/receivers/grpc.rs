//! The OTLP receiver over gRPC.

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

/// An answer: status, message, details, and the body.
#[derive(Debug)]
struct Answer {
    status: String,
    message: String,
    details: Option<Vec<u8>>,
    body: Bytes,
}

async fn send(bench: &Bench, request: Request<Body>) -> Answer {
    let response = grpc_router(bench.intake.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "what goes wrong is said in trailers");
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["content-type"], "application/grpc");
    let body = body.collect().await.unwrap();
    let trailers: HeaderMap = body.trailers().cloned().unwrap_or(parts.headers);
    let text = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Answer {
        status: text("grpc-status").unwrap(),
        message: text("grpc-message").unwrap_or_default(),
        details: text("grpc-status-details-bin").map(|text| STANDARD_NO_PAD.decode(text).unwrap()),
        body: body.to_bytes(),
    }
}

async fn refused(bench: &Bench, request: Request<Body>, status: &str, words: &str) -> Answer {
    let answer = send(bench, request).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.message.contains(words), "{words}: {answer:?}");
    assert!(answer.body.is_empty());
    answer
}

#[tokio::test]
async fn plain_and_compressed() {
    let bench = bench();
    for (number, name) in ["identity", "gzip", "zstd"].into_iter().enumerate() {
        let message = encode(&[Span::sample(number as u64)], Encoding::Protobuf);
        let framed = match name {
            "gzip" => frame(1, &gzip(&message)),
            "zstd" => frame(1, &zstd(&message)),
            _ => frame(0, &message),
        };
        let answer = send(&bench, with(call(TRACES, framed), "grpc-encoding", name)).await;
        assert_eq!((answer.status.as_str(), &answer.body[..]), ("0", &frame(0, b"")[..]), "{name}");
    }
    // A call that says how it would compress may leave a message as it is.
    let message = encode(&[LogRecord::sample(0)], Encoding::Protobuf);
    let answer = send(&bench, with(call(LOGS, frame(0, &message)), "grpc-encoding", "gzip")).await;
    assert_eq!(answer.status, "0");
    assert_eq!(bench.stored::<Span>().await, (0..3).map(Span::sample).collect::<Vec<_>>());
    assert_eq!(bench.stored::<LogRecord>().await, [LogRecord::sample(0)]);
}

#[tokio::test]
async fn an_empty_request_succeeds() {
    let answer = send(&bench(), call(TRACES, frame(0, b""))).await;
    assert_eq!(answer.status, "0");
}

#[tokio::test]
async fn bad_ids_are_a_partial_success() {
    let bench = bench();
    let mut message = encode(&[Span::sample(0), Span::sample(1)], Encoding::Protobuf);
    let id = trace_id().to_bytes();
    let at = message.windows(16).rposition(|bytes| bytes == id).unwrap();
    message[at..at + 16].fill(0);
    let answer = send(&bench, call(TRACES, frame(0, &message))).await;
    assert_eq!(answer.status, "0");
    assert!(String::from_utf8_lossy(&answer.body).contains("sample 1"), "{answer:?}");
    assert_ne!(answer.body[5..], encode_response(Signal::Traces, &[], Encoding::Protobuf));
    assert_eq!(bench.stored::<Span>().await, [Span::sample(0)]);
}

#[tokio::test]
async fn what_is_wrong_has_its_code() {
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
async fn a_store_that_is_busy_says_when_to_come_again() {
    let bench = bench();
    bench.store.close().await;
    let message = encode(&[Span::sample(0)], Encoding::Protobuf);
    let answer = refused(&bench, call(TRACES, frame(0, &message)), "14", "try again").await;
    let details = String::from_utf8_lossy(&answer.details.unwrap()).into_owned();
    assert!(details.contains("google.rpc.RetryInfo"), "{details}");
}

#[tokio::test]
async fn the_token_opens() {
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
