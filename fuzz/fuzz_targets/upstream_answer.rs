//! Arbitrary responses of an upstream: the reported failure fits a log line, and responses of this project's server are
//! decoded correctly.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use throughline_forward::fuzzing::{failure, retry_after, success};
use throughline_otlp::{Encoding, Reason, Rejection, RpcCode, Signal, encode_response, encode_status};

const TYPES: [&str; 5] = ["application/x-protobuf", "application/json; charset=utf-8", "text/plain", "text/html", ""];

fuzz_target!(|input: (u8, &[u8], u8, String)| {
    let (kind, body, rejected, words) = input;
    let content_type = TYPES[usize::from(kind) % TYPES.len()];
    let reason = failure(content_type, body);
    assert!(reason.chars().count() <= 300 && !reason.chars().any(char::is_control));
    let response = success(content_type, body);
    assert!(content_type != "text/html" || body.is_empty() || response.is_none());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    // Adding the wait to a time and comparing it must not panic.
    let _ = retry_after(body, now).map(|wait| wait.min(Duration::from_secs(900)));

    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        let rejections = vec![Rejection::new(signal, &words, Reason::Refused(words.clone().into())); rejected.into()];
        let [in_protobuf, in_json] = [Encoding::Protobuf, Encoding::Json].map(|encoding| {
            success(encoding.content_type(), &encode_response(signal, &rejections, encoding)).expect("it is a response")
        });
        assert_eq!(in_protobuf, in_json);
        assert_eq!(in_protobuf.0, u64::from(rejected));
    }
    let [in_protobuf, in_json] = [Encoding::Protobuf, Encoding::Json]
        .map(|encoding| failure(encoding.content_type(), &encode_status(RpcCode::InvalidArgument, &words, encoding)));
    assert_eq!(in_protobuf, in_json);
});
