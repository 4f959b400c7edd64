//! Whatever an upstream answers: what it says of itself fits a line of the log, and what a server of ours answers is
//! read as it was meant.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use throughline_forward::fuzzing::{failure, retry_after, success};
use throughline_otlp::{Encoding, Reason, Rejection, RpcCode, Signal, encode_response, encode_status};

const TYPES: [&str; 5] = ["application/x-protobuf", "application/json; charset=utf-8", "text/plain", "text/html", ""];

fuzz_target!(|input: (u8, &[u8], u8, String)| {
    let (kind, body, rejected, words) = input;
    let content_type = TYPES[usize::from(kind) % TYPES.len()];
    let said = failure(content_type, body);
    assert!(said.chars().count() <= 300 && !said.chars().any(char::is_control));
    let answer = success(content_type, body);
    assert!(content_type != "text/html" || body.is_empty() || answer.is_none());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    // Added to a clock, and compared: neither may panic.
    let _ = retry_after(body, now).map(|wait| wait.min(Duration::from_secs(900)));

    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        let rejections = vec![Rejection::new(signal, &words, Reason::Refused(words.clone().into())); rejected.into()];
        let [in_protobuf, in_json] = [Encoding::Protobuf, Encoding::Json].map(|encoding| {
            success(encoding.content_type(), &encode_response(signal, &rejections, encoding)).expect("it is an answer")
        });
        assert_eq!(in_protobuf, in_json);
        assert_eq!(in_protobuf.0, u64::from(rejected));
    }
    let [in_protobuf, in_json] = [Encoding::Protobuf, Encoding::Json]
        .map(|encoding| failure(encoding.content_type(), &encode_status(RpcCode::InvalidArgument, &words, encoding)));
    assert_eq!(in_protobuf, in_json);
});
