//! Tests of delivery to an upstream that is strict, slow, broken or unreachable.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use throughline_forward::{BackoffConfig, OtlpSink, SinkState, spawn, traces_endpoint};
use throughline_otlp::{KeyValue, Signal};
use throughline_store::{Retention, SpanStore as _, Store};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{
    Bench, KEY, TIMEOUT, config, free_addr, log_numbers, log_record, name, numbers, poison, sink, span, span_cursor,
    until, until_logs,
};

#[tokio::test]
async fn everything_arrives_once_and_in_order() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..700).await;
    let forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(700, TIMEOUT).await.unwrap();
    bench.append(700..1_300).await;
    upstream.wait_for(1_300, TIMEOUT).await.unwrap();
    let status = until(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 1_300).await;
    assert_eq!((status.waiting, status.rejected, status.last_error), (0, 0, None));
    assert_eq!(numbers(&upstream.spans()), (0..1_300).collect::<Vec<_>>());
    assert_eq!(upstream.spans()[42], span(42), "it is unchanged");
}

#[tokio::test]
async fn only_the_required_headers_are_sent() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..1).await;
    let _forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(1, TIMEOUT).await.unwrap();
    let headers = upstream.requests()[0].headers.clone();
    let mut names: Vec<_> = headers.keys().map(reqwest::header::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["accept", "content-encoding", "content-length", "content-type", "host", "user-agent", "x-honeycomb-team"]
    );
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["content-type"], "application/x-protobuf");
}

#[tokio::test]
async fn an_unreachable_upstream_gets_everything_when_it_is_back() {
    let addr = free_addr();
    let bench = Bench::new();
    bench.append(0..20).await;
    let forwarder = bench.spawn(addr);
    let status = until(&forwarder, |status| status.state == SinkState::Backoff).await;
    assert_eq!((status.delivered, status.waiting), (0, 20));
    assert!(status.last_error.is_some());
    bench.append(20..40).await;
    let upstream = FakeHoneycomb::start_on(addr, KEY).await.unwrap();
    upstream.wait_for(40, TIMEOUT).await.unwrap();
    until(&forwarder, |status| status.state == SinkState::Idle && status.last_error.is_none()).await;
    assert_eq!(numbers(&upstream.spans()), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failing_upstream_gets_everything_when_it_has_recovered() {
    for behaviour in [
        Behaviour::Status(429, Some(1)),
        Behaviour::Status(429, None),
        Behaviour::Status(500, None),
        Behaviour::Status(503, Some(1)),
        Behaviour::Status(404, None),
        Behaviour::Status(302, None),
        Behaviour::Garbage,
        Behaviour::CutMidway,
    ] {
        let upstream = FakeHoneycomb::start(KEY).await.unwrap();
        upstream.set_response(behaviour.clone());
        let bench = Bench::new();
        bench.append(0..20).await;
        let forwarder = bench.spawn(upstream.addr());
        upstream.wait_for_requests(3, TIMEOUT).await.unwrap();
        let status = until(&forwarder, |status| status.state == SinkState::Backoff).await;
        assert_eq!((status.delivered, status.rejected), (0, 0), "{behaviour:?}");
        assert!(status.last_error.is_some(), "{behaviour:?}");
        upstream.set_response(Behaviour::Ok);
        let status = until(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 20).await;
        assert_eq!((status.rejected, status.last_error), (0, None), "{behaviour:?}");
        upstream.wait_for(20, TIMEOUT).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_times_out_is_retried() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Slow(Duration::from_secs(3600)));
    let bench = Bench::new();
    bench.append(0..5).await;
    let config = config().with_request_timeout(Duration::from_millis(50));
    let forwarder = spawn(bench.sources(), sink(upstream.addr()), config).unwrap();
    until(&forwarder, |status| status.state == SinkState::Backoff).await;
    upstream.set_response(Behaviour::Ok);
    upstream.wait_for(5, TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn rejected_spans_of_a_batch_are_quarantined_and_the_others_arrive() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let spans = (0..100).map(|number| if [0, 37, 38, 99].contains(&number) { poison(number) } else { span(number) });
    bench.store.append(spans.collect()).await.unwrap();
    let forwarder = bench.spawn(upstream.addr());
    let status = until(&forwarder, |status| status.state == SinkState::Idle && status.rejected > 0).await;
    assert_eq!((status.delivered, status.rejected, status.waiting), (96, 4, 0));
    assert!(status.last_rejection.unwrap().contains("value of poison is too long"));
    let expected: Vec<_> = (0..100).filter(|number| ![0, 37, 38, 99].contains(number)).collect();
    assert_eq!(numbers(&upstream.spans()), expected);
}

#[tokio::test]
async fn a_partial_success_is_counted_and_not_sent_again() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Partial(3));
    let bench = Bench::new();
    bench.append(0..10).await;
    let forwarder = bench.spawn(upstream.addr());
    let status = until(&forwarder, |status| status.state == SinkState::Idle && status.rejected > 0).await;
    assert_eq!((status.delivered, status.rejected), (7, 3));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn requests_stay_within_the_size_limit() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let spans = (0..50).map(|number| {
        let mut span = span(number);
        span.attributes.push(KeyValue::new("ballast", "x".repeat(60_000)));
        span
    });
    bench.store.append(spans.collect()).await.unwrap();
    let _forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(50, TIMEOUT).await.unwrap();
    // 3 MB with a limit of 1 MB for each request.
    assert!(upstream.requests().len() >= 4, "{} requests", upstream.requests().len());
    assert_eq!(numbers(&upstream.spans()), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_rejected_key_stops_delivery_until_it_is_accepted_and_is_never_shown() {
    let upstream = FakeHoneycomb::start("another key").await.unwrap();
    let bench = Bench::new();
    bench.append(0..5).await;
    let forwarder = bench.spawn(upstream.addr());
    let status = until(&forwarder, |status| status.state == SinkState::Stopped).await;
    assert_eq!(status.waiting, 5);
    assert!(status.last_error.as_ref().unwrap().contains("unknown API key"), "{status:?}");
    assert!(!format!("{status:?} {forwarder:?}").contains(KEY));
    upstream.set_key(KEY);
    upstream.wait_for(5, TIMEOUT).await.unwrap();
    until(&forwarder, |status| status.state == SinkState::Idle).await;
}

#[tokio::test]
async fn a_restart_resumes_at_the_cursor() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..30).await;
    let forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(30, TIMEOUT).await.unwrap();
    forwarder.shutdown().await;
    let Bench { dir, store } = bench;
    drop(store);

    let bench = Bench { store: Store::open(dir.path()).unwrap(), dir };
    bench.append(30..60).await;
    let forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(60, TIMEOUT).await.unwrap();
    until(&forwarder, |status| status.state == SinkState::Idle).await;
    assert_eq!(numbers(&upstream.spans()), (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn shutdown_delivers_waiting_spans() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let config = config().with_linger(Duration::from_secs(3600));
    let forwarder = spawn(bench.sources(), sink(upstream.addr()), config).unwrap();
    bench.append(0..10).await;
    forwarder.shutdown().await;
    assert_eq!(upstream.spans().len(), 10);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_an_unreachable_upstream() {
    let bench = Bench::new();
    bench.append(0..10).await;
    let hour = Duration::from_hours(1);
    let config = config().with_backoff(BackoffConfig::new(hour, hour)).with_shutdown_timeout(hour);
    let forwarder = spawn(bench.sources(), sink(free_addr()), config).unwrap();
    until(&forwarder, |status| status.state == SinkState::Backoff).await;
    tokio::time::timeout(TIMEOUT, forwarder.shutdown()).await.unwrap();
    assert_eq!(bench.store.cursor(&span_cursor()).await.unwrap(), 0);
}

#[tokio::test]
async fn two_sinks_do_not_wait_for_each_other() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..10).await;
    let mut away = sink(free_addr());
    away.name = name("away");
    let away = spawn(bench.sources(), away, config()).unwrap();
    let _forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(10, TIMEOUT).await.unwrap();
    assert_eq!(until(&away, |status| status.state == SinkState::Backoff).await.delivered, 0);
}

#[tokio::test]
async fn https_can_be_set_up() {
    let bench = Bench::new();
    let sink = OtlpSink::new(name("tls"), traces_endpoint("https://localhost:1").unwrap());
    // On a machine without CA certificates, this is an error and not a panic.
    if let Ok(forwarder) = spawn(bench.sources(), sink, config()) {
        forwarder.shutdown().await;
    }
}

#[tokio::test]
async fn log_records_arrive_once_and_in_order_alongside_spans() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append_logs(0..600).await;
    bench.append(0..10).await;
    let forwarder = bench.spawn(upstream.addr());
    upstream.wait_for_logs(600, TIMEOUT).await.unwrap();
    // A log record without a trace also wakes the sink.
    bench.append_logs(601..602).await;
    upstream.wait_for_logs(601, TIMEOUT).await.unwrap();
    let status = until_logs(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 601).await;
    assert_eq!((status.waiting, status.rejected, status.last_error), (0, 0, None));
    assert_eq!(status.cursor.as_str(), "honeycomb/logs");
    assert!(status.endpoint.ends_with("/v1/logs"), "{}", status.endpoint);
    assert_eq!(log_numbers(&upstream.logs()), (0..600).chain([601]).collect::<Vec<_>>());
    assert_eq!(upstream.logs()[43], log_record(43), "it is unchanged");
    upstream.wait_for(10, TIMEOUT).await.unwrap();
    let bodies = upstream.requests().iter().filter(|request| request.signal == Signal::Logs).count();
    assert_eq!(bodies, 3, "at most 512 in each");
}

#[tokio::test]
async fn without_an_endpoint_log_records_are_not_sent() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append_logs(0..5).await;
    bench.append(0..5).await;
    let mut sink = sink(upstream.addr());
    sink.logs_endpoint = None;
    let forwarder = spawn(bench.sources(), sink, config()).unwrap();
    assert!(forwarder.status(Signal::Logs).is_none());
    upstream.wait_for(5, TIMEOUT).await.unwrap();
    forwarder.shutdown().await;
    assert!(upstream.requests().iter().all(|request| request.signal == Signal::Traces));
}

#[tokio::test]
async fn an_upstream_without_logs_gets_spans_and_later_the_log_records() {
    for status in [404, 405, 501] {
        let upstream = FakeHoneycomb::start(KEY).await.unwrap();
        upstream.set_logs_response(Behaviour::Status(status, None));
        let bench = Bench::new();
        bench.append_logs(0..20).await;
        bench.append(0..20).await;
        let forwarder = bench.spawn(upstream.addr());
        let logs = until_logs(&forwarder, |status| status.state == SinkState::Absent).await;
        assert_eq!((logs.delivered, logs.waiting, logs.rejected), (0, 20, 0));
        assert!(logs.last_error.unwrap().contains(&status.to_string()));
        upstream.wait_for(20, TIMEOUT).await.unwrap();
        let spans = until(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 20).await;
        assert_eq!((spans.rejected, spans.last_error), (0, None));
        upstream.set_logs_response(Behaviour::Ok);
        until_logs(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 20).await;
        assert_eq!(log_numbers(&upstream.logs()), (0..20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn log_records_are_delivered_while_spans_fail() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Status(503, None));
    upstream.set_logs_response(Behaviour::Ok);
    let bench = Bench::new();
    bench.append_logs(0..20).await;
    bench.append(0..20).await;
    let forwarder = bench.spawn(upstream.addr());
    upstream.wait_for_logs(20, TIMEOUT).await.unwrap();
    until(&forwarder, |status| status.state == SinkState::Backoff).await;
    assert!(upstream.spans().is_empty());
}

#[tokio::test]
async fn log_records_are_retried_after_a_failure() {
    for behaviour in [
        Behaviour::Status(429, Some(1)),
        Behaviour::Status(503, None),
        Behaviour::Garbage,
        Behaviour::CutMidway,
        Behaviour::Status(401, None),
    ] {
        let upstream = FakeHoneycomb::start(KEY).await.unwrap();
        upstream.set_logs_response(behaviour.clone());
        let bench = Bench::new();
        bench.append_logs(0..20).await;
        let forwarder = bench.spawn(upstream.addr());
        upstream.wait_for_requests(2, TIMEOUT).await.unwrap();
        let status = until_logs(&forwarder, |status| status.last_error.is_some()).await;
        assert_eq!((status.delivered, status.rejected), (0, 0), "{behaviour:?}");
        upstream.set_logs_response(Behaviour::Ok);
        until_logs(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 20).await;
        upstream.wait_for_logs(20, TIMEOUT).await.unwrap();
    }
}

#[tokio::test]
async fn rejected_log_records_of_a_batch_are_quarantined_and_the_others_arrive() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let poisoned = [0, 37, 49];
    let records = (0..50).map(|number| {
        let mut record = log_record(number);
        if poisoned.contains(&number) {
            record.attributes.push(KeyValue::new("poison", "x".repeat(70_000)));
        }
        record
    });
    bench.store.append_logs(records.collect()).await.unwrap();
    let forwarder = bench.spawn(upstream.addr());
    let status = until_logs(&forwarder, |status| status.state == SinkState::Idle && status.rejected > 0).await;
    assert_eq!((status.delivered, status.rejected, status.waiting), (47, 3, 0));
    assert!(status.last_rejection.unwrap().contains("value of poison is too long"));
    let expected: Vec<_> = (0..50).filter(|number| !poisoned.contains(number)).map(u64::cast_signed).collect();
    assert_eq!(log_numbers(&upstream.logs()), expected);
}

#[tokio::test]
async fn a_partial_success_of_log_records_is_counted_and_not_sent_again() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_logs_response(Behaviour::Partial(3));
    let bench = Bench::new();
    bench.append_logs(0..10).await;
    let forwarder = bench.spawn(upstream.addr());
    let status = until_logs(&forwarder, |status| status.state == SinkState::Idle && status.rejected > 0).await;
    assert_eq!((status.delivered, status.rejected), (7, 3));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_restart_resumes_at_both_cursors_and_shutdown_delivers_both() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let config = config().with_linger(Duration::from_secs(3600));
    for (from, to) in [(0, 30), (30, 60)] {
        let forwarder = spawn(bench.sources(), sink(upstream.addr()), config).unwrap();
        bench.append(from..to).await;
        bench.append_logs(from..to).await;
        forwarder.shutdown().await;
    }
    assert_eq!(numbers(&upstream.spans()), (0..60).collect::<Vec<_>>());
    assert_eq!(log_numbers(&upstream.logs()), (0..60).collect::<Vec<_>>());
    assert_eq!(bench.store.cursor(&name("honeycomb").cursor(Signal::Logs)).await.unwrap(), 60);
}

#[tokio::test]
async fn retry_after_is_honoured_and_shown_in_the_status() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Status(429, Some(3000)));
    let bench = Bench::new();
    bench.append(0..3).await;
    let config = config().with_max_retry_after(Duration::from_secs(3600));
    let forwarder = spawn(bench.sources(), sink(upstream.addr()), config).unwrap();
    let status = until(&forwarder, |status| status.state == SinkState::Backoff).await;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let next_s = status.next_attempt_ns.unwrap() / 1_000_000_000;
    assert!((now_s + 2000..=now_s + 3000).contains(&next_s), "{next_s} is not in 3000 s from {now_s}");
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!((status.waiting, status.oldest_ns), (3, Some(span(0).end_ns)));
}

#[tokio::test]
async fn quarantined_spans_are_stored_with_their_reason() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let mut huge = span(7);
    // Each value is within the limit, but together they exceed the limit of an event.
    huge.attributes.extend((0..20).map(|n| KeyValue::new(format!("part.{n}"), "x".repeat(60_000))));
    let spans = (0..20).map(|number| match number {
        3 => poison(3),
        7 => huge.clone(),
        number => span(number),
    });
    bench.store.append(spans.collect()).await.unwrap();
    let forwarder = bench.spawn(upstream.addr());
    let status = until(&forwarder, |status| status.state == SinkState::Idle && status.rejected > 0).await;
    assert_eq!((status.delivered, status.rejected), (18, 2));
    forwarder.shutdown().await;
    // Another handle reads them, as after a restart.
    let entries = bench.outbox().quarantined_by(&span_cursor(), 10).await.unwrap();
    let seen: Vec<_> = entries.iter().map(|entry| (entry.place, entry.trace_id, entry.span_id, entry.count)).collect();
    let of = |number| (number + 1, Some(span(number).trace_id), Some(span(number).span_id), 1);
    assert_eq!(seen, [of(7), of(3)]);
    assert!(entries[0].reason.contains("is too large"), "{entries:?}");
    assert!(entries[1].reason.contains("value of poison is too long"), "{entries:?}");
    assert_eq!(bench.store.trace(span(7).trace_id).await.unwrap().len(), 10, "they stay in the store");
}

#[tokio::test]
async fn a_partial_success_is_stored_with_its_reason() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Partial(3));
    let bench = Bench::new();
    bench.append(0..10).await;
    let forwarder = bench.spawn(upstream.addr());
    until(&forwarder, |status| status.state == SinkState::Idle && status.rejected == 3).await;
    let [entry] = bench.outbox().quarantined_by(&span_cursor(), 10).await.unwrap().try_into().unwrap();
    assert_eq!((entry.place, entry.count, entry.trace_id), (10, 3, None));
    assert!(entry.reason.starts_with("partial success"), "{entry:?}");
}

#[tokio::test]
async fn delivery_with_a_new_key_resumes_where_it_stopped() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..20).await;
    let forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(20, TIMEOUT).await.unwrap();
    upstream.set_key("the next key");
    bench.append(20..40).await;
    until(&forwarder, |status| status.state == SinkState::Stopped).await;
    forwarder.shutdown().await;
    let mut fixed = sink(upstream.addr());
    fixed.headers = vec![("x-honeycomb-team".to_owned(), SecretString::from("the next key"))];
    let _forwarder = spawn(bench.sources(), fixed, config()).unwrap();
    upstream.wait_for(40, TIMEOUT).await.unwrap();
    assert_eq!(numbers(&upstream.spans()), (0..40).collect::<Vec<_>>(), "each span arrives once");
}

#[tokio::test]
async fn deleted_undelivered_spans_count_as_lost_and_not_as_waiting() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Status(503, None));
    let mut bench = Bench::new();
    let nothing = Retention::default().with_bytes(1).with_unsent_bytes(1).with_span_sinks([name("honeycomb")]);
    bench.store.close().await;
    bench.store = Store::open_with(bench.dir.path(), nothing).unwrap();
    bench.append(0..20).await;
    bench.store.tidy().await.unwrap();
    bench.store.close().await;
    bench.store = Store::open(bench.dir.path()).unwrap();
    assert_eq!(bench.store.lost(&span_cursor()).await.unwrap(), 20);
    bench.append(20..23).await;
    let forwarder = bench.spawn(upstream.addr());
    let status = until(&forwarder, |status| status.state == SinkState::Backoff).await;
    assert_eq!((status.waiting, status.lost), (3, 20));
    upstream.set_response(Behaviour::Ok);
    let status = until(&forwarder, |status| status.state == SinkState::Idle).await;
    assert_eq!((status.delivered, status.waiting, status.lost), (3, 0, 20));
}
