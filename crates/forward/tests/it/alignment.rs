//! Tests that records of pages are sent in the server's clock.

use throughline_context::{SpanId, keys};
use throughline_forward::{Forwarder, spawn};
use throughline_otlp::{Event, KeyValue, LogRecord, Span};
use throughline_store::SpanStore as _;
use throughline_testkit::FakeHoneycomb;

use crate::support::{Bench, KEY, TIMEOUT, config, sink, span};

const OFFSET_MS: i64 = 3_600_000;
const OFFSET_NS: u64 = OFFSET_MS.unsigned_abs() * 1_000_000;

fn reported(number: u64) -> Span {
    let mut span = span(number);
    span.attributes.push(KeyValue::new(keys::CLIENT_REPORTED, true));
    span.events = vec![Event { time_ns: span.start_ns + 1, ..Event::default() }];
    span
}

fn fetch(number: u64, offset_ms: i64, error_ms: f64) -> Span {
    let mut span = reported(number);
    span.attributes.push(KeyValue::new(keys::CLOCK_OFFSET_MS, offset_ms as f64));
    span.attributes.push(KeyValue::new(keys::CLOCK_ERROR_MS, error_ms));
    span
}

fn log_record(number: u64, is_reported: bool) -> LogRecord {
    let mut record = LogRecord::new(span(number).resource, Default::default());
    record.trace_id = Some(span(number).trace_id);
    record.span_id = SpanId::from_bytes([9; 8]);
    record.time_ns = 1_000_000_000 + number;
    if is_reported {
        record.attributes.push(KeyValue::new(keys::CLIENT_REPORTED, true));
    }
    record
}

fn aligned(bench: &Bench, upstream: &FakeHoneycomb) -> Forwarder {
    let mut sink = sink(upstream.addr());
    sink.align_clocks = true;
    spawn(bench.sources(), sink, config()).unwrap()
}

fn shift_ms(attributes: &[KeyValue]) -> Option<f64> {
    attributes.iter().find(|attribute| attribute.key == keys::CLOCK_SHIFT_MS)?.value.as_f64()
}

#[tokio::test]
async fn records_of_a_page_are_sent_in_the_servers_clock() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    // Trace 1: spans of a page, two of which measured the offset, and one span of the server. Trace 2: the offset is unknown.
    let (rough, good) = (fetch(1, OFFSET_MS + 5_000, 80.0), fetch(2, OFFSET_MS, 0.5));
    let sent = vec![reported(0), rough, good, span(3), reported(10)];
    bench.store.append(sent.clone()).await.unwrap();
    bench.store.append_logs(vec![log_record(0, true), log_record(1, false), log_record(10, true)]).await.unwrap();
    let _forwarder = aligned(&bench, &upstream);
    upstream.wait_for(5, TIMEOUT).await.unwrap();
    upstream.wait_for_logs(3, TIMEOUT).await.unwrap();

    let arrived = upstream.spans();
    for (number, moved) in [true, true, true, false, false].into_iter().enumerate() {
        let (before, after) = (&sent[number], &arrived[number]);
        let offset_ns = if moved { OFFSET_NS } else { 0 };
        assert_eq!(after.start_ns, before.start_ns + offset_ns, "start of span {number}");
        assert_eq!(after.end_ns, before.end_ns + offset_ns, "end of span {number}");
        assert_eq!(
            after.events.first().map(|event| event.time_ns),
            before.events.first().map(|e| e.time_ns + offset_ns)
        );
        assert_eq!(shift_ms(&after.attributes), moved.then_some(OFFSET_MS as f64), "span {number}");
    }
    // The measurement of the fetch is kept.
    assert_eq!(arrived[1].attribute(keys::CLOCK_OFFSET_MS), sent[1].attribute(keys::CLOCK_OFFSET_MS));
    let times: Vec<_> = upstream.logs().iter().map(|record| record.time_ns).collect();
    assert_eq!(times, [1_000_000_000 + OFFSET_NS, 1_000_000_001, 1_000_000_010]);

    let mut stored = bench.store.trace(span(0).trace_id).await.unwrap();
    stored.sort_by_key(|span| span.span_id);
    assert_eq!(stored, sent[..4], "stored spans do not change");
}

#[tokio::test]
async fn all_spans_of_a_trace_are_shifted_equally() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.store.append(vec![fetch(0, OFFSET_MS, 20.0)]).await.unwrap();
    let _forwarder = aligned(&bench, &upstream);
    upstream.wait_for(1, TIMEOUT).await.unwrap();
    // A later request measured the offset better, but its span must not be shifted differently than its parent.
    bench.store.append(vec![fetch(1, OFFSET_MS + 7, 0.1)]).await.unwrap();
    upstream.wait_for(2, TIMEOUT).await.unwrap();
    let shifts: Vec<_> = upstream.spans().iter().map(|span| shift_ms(&span.attributes)).collect();
    assert_eq!(shifts, [Some(OFFSET_MS as f64); 2]);
}

#[tokio::test]
async fn without_the_setting_times_do_not_change() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.store.append(vec![fetch(0, OFFSET_MS, 0.5)]).await.unwrap();
    let _forwarder = bench.spawn(upstream.addr());
    upstream.wait_for(1, TIMEOUT).await.unwrap();
    assert_eq!(upstream.spans(), [fetch(0, OFFSET_MS, 0.5)]);
}
