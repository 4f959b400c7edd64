//! Tests of the restrictions on browsers and of the changes to their records.

use std::net::IpAddr;

use throughline_context::keys;
use throughline_intake::{
    ClientAddress, INGEST_TOKEN_HEADER, IngestTokenKey, IngestTokenKeys, OtlpToken, RateLimit, RedactionRule,
};
use throughline_otlp::{Encoding, KeyValue, LogRecord, Span, Value};

use crate::{
    BOTH, SESSION, StatusCode, bench, bench_with, key, now_ns, records, refused,
    sample::{Sample, attribute, set},
    send, with,
};

for_both! {
    secrets_are_removed_before_records_are_stored
    records_of_programs_are_not_redacted
    skewed_times_are_flagged_and_kept
    a_client_is_rate_limited_across_sessions
    tokens_of_an_earlier_key_are_valid
    the_otlp_receiver_requires_its_token
}

fn secret<R: Sample>() -> R {
    let nested = Value::Map(vec![KeyValue::new("list", vec![Value::from("mail to ada@example.com")])]);
    set(
        R::sample(0),
        vec![
            KeyValue::new("url.full", "https://a.example/?access_token=s3cret&q=1"),
            KeyValue::new("http.request.header.authorization", "anything"),
            KeyValue::new("note", "4111 1111 1111 1111"),
            KeyValue { key: "nested".to_owned(), value: nested },
            KeyValue::new("plain", "unchanged"),
        ],
    )
}

const SECRETS: [&str; 4] = ["s3cret", "anything", "4111", "ada@"];

async fn secrets_are_removed_before_records_are_stored<R: Sample>() {
    let bench = bench();
    let request = with(records(Encoding::Protobuf, &[secret::<R>()]), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    let stored = &bench.stored::<R>().await[0];
    let shown = format!("{stored:?}");
    assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    assert_eq!(attribute(stored, "url.full"), Some(&Value::from("https://a.example/?access_token=[redacted]&q=1")));
    assert_eq!(attribute(stored, "plain"), Some(&Value::from("unchanged")));
    assert_eq!(bench.intake.stats().redacted_values, 4);

    let bench = bench_with(|config| config.redact = vec![RedactionRule::Card]);
    let request = with(records(Encoding::Protobuf, &[secret::<R>()]), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    let shown = format!("{:?}", bench.stored::<R>().await[0]);
    assert!(shown.contains("ada@") && !shown.contains("4111"), "{shown}");
}

async fn records_of_programs_are_not_redacted<R: Sample>() {
    let bench = bench();
    assert_eq!(send(bench.trusted(), records(Encoding::Protobuf, &[secret::<R>()])).await.0, StatusCode::OK);
    assert_eq!(bench.stored::<R>().await, [secret::<R>()]);
}

/// A sample record with a time.
trait Timed: Sample {
    fn at(number: u64, time_ns: u64) -> Self;
    fn time_ns(&self) -> u64;
}

impl Timed for Span {
    fn at(number: u64, time_ns: u64) -> Self {
        Self { start_ns: time_ns, end_ns: time_ns + 1, ..Self::sample(number) }
    }

    fn time_ns(&self) -> u64 {
        self.start_ns
    }
}

impl Timed for LogRecord {
    fn at(number: u64, time_ns: u64) -> Self {
        Self { time_ns, ..Self::sample(number) }
    }

    fn time_ns(&self) -> u64 {
        self.time_ns
    }
}

async fn skewed_times_are_flagged_and_kept<R: Timed>() {
    const MIN_NS: u64 = 60_000_000_000;
    let bench = bench();
    let now_ns = u64::try_from(now_ns()).unwrap();
    let times =
        [now_ns, now_ns - 23 * 60 * MIN_NS, now_ns + 9 * MIN_NS, now_ns - 25 * 60 * MIN_NS, now_ns + 11 * MIN_NS, 0];
    let sent: Vec<R> = times.iter().enumerate().map(|(number, time_ns)| R::at(number as u64, *time_ns)).collect();
    let request = with(records(Encoding::Protobuf, &sent), INGEST_TOKEN_HEADER, &bench.ingest_token());
    assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    let stored = bench.stored::<R>().await;
    for record in &stored {
        let is_flagged = attribute(record, keys::TIME_SKEWED) == Some(&Value::Bool(true));
        assert!(times.contains(&record.time_ns()), "the time was changed");
        // A log record without a time is not flagged, but a span that starts at 0 ends at 1.
        if record.time_ns() != 0 {
            assert_eq!(is_flagged, times[3..5].contains(&record.time_ns()), "{}", record.time_ns());
        }
    }
    assert!(bench.intake.stats().clock_skewed >= 2);
}

async fn a_client_is_rate_limited_across_sessions<R: Sample>() {
    let bench = bench_with(|config| config.limits.client_rate = RateLimit::new(1, 3));
    let from = |client: &str, number| {
        let ingest_token = bench.intake.issue_ingest_token(None).unwrap().ingest_token;
        let mut request = with(records(Encoding::Json, &[R::sample(number)]), INGEST_TOKEN_HEADER, &ingest_token);
        request.extensions_mut().insert(ClientAddress(client.parse::<IpAddr>().unwrap()));
        request
    };
    for number in 0..3 {
        assert_eq!(send(bench.public(), from("203.0.113.9", number)).await.0, StatusCode::OK);
    }
    let headers = refused(bench.public(), from("203.0.113.9", 3), Encoding::Json, 429, 8, "slow down").await;
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(send(bench.public(), from("203.0.113.10", 4)).await.0, StatusCode::OK);
}

async fn tokens_of_an_earlier_key_are_valid<R: Sample>() {
    let bench = bench();
    let old = bench.ingest_token();
    let new_key = IngestTokenKey::from_bytes([43; 32]);
    bench.intake.set_ingest_token_keys(IngestTokenKeys::new(new_key.clone(), vec![key()]));
    for ingest_token in [old.clone(), bench.ingest_token()] {
        let request = with(records(Encoding::Json, &[R::sample(0)]), INGEST_TOKEN_HEADER, &ingest_token);
        assert_eq!(send(bench.public(), request).await.0, StatusCode::OK);
    }
    bench.intake.set_ingest_token_keys(new_key.into());
    let request = with(records(Encoding::Json, &[R::sample(0)]), INGEST_TOKEN_HEADER, &old);
    refused(bench.public(), request, Encoding::Json, 401, 16, "not issued by this server").await;
    assert!(bench.intake.issue_ingest_token(Some(SESSION)).is_ok());
}

async fn the_otlp_receiver_requires_its_token<R: Sample>() {
    let bench = bench_with(|config| config.otlp_token = Some(OtlpToken::new("0123456789abcdef")));
    for encoding in BOTH {
        let request = || records(encoding, &[R::sample(0)]);
        let headers = refused(bench.trusted(), request(), encoding, 401, 16, "token").await;
        assert_eq!(headers["www-authenticate"], "Bearer");
        for wrong in ["Bearer 0123456789abcdeF", "Bearer", "Basic 0123456789abcdef"] {
            refused(bench.trusted(), with(request(), "authorization", wrong), encoding, 401, 16, "token").await;
        }
        assert!(encoding == BOTH[1] || bench.is_empty().await);
        let right = with(request(), "authorization", "Bearer 0123456789abcdef");
        assert_eq!(send(bench.trusted(), right).await.0, StatusCode::OK);
    }
}
