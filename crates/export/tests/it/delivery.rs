//! Tests of when spans are sent, and of retries and losses.

use std::{collections::HashSet, sync::Arc, thread, time::Duration};

use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanProcessor as _},
};
use throughline_export::{Builder, EncodingSpanProcessor};

use crate::{
    client::{Answer, Client, TIMEOUT, names},
    spans::named,
};

/// No batch is sent because of the delay before a test ends.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

pub(crate) fn builder(client: Client) -> Builder {
    EncodingSpanProcessor::builder().client(client).scheduled_delay(NEVER)
}

pub(crate) fn end_many(processor: &EncodingSpanProcessor, names: std::ops::Range<usize>) {
    names.for_each(|number| processor.on_end(named(&number.to_string())));
}

/// Flushes until all spans are sent, however long retries take.
fn flush(processor: &EncodingSpanProcessor) {
    while processor.force_flush().is_err() {}
}

pub(crate) fn message(result: OTelSdkResult) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_full_batch_is_sent_at_once_and_the_rest_waits() {
    let (client, requests) = Client::new();
    let processor = builder(client).max_export_batch_size(3).build().unwrap();
    end_many(&processor, 0..7);
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["0", "1", "2"]);
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["3", "4", "5"]);
    processor.force_flush().unwrap();
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["6"]);
    processor.force_flush().unwrap();
    assert!(requests.try_recv().is_err(), "an empty queue sends no request");
}

#[test]
fn a_span_is_sent_after_the_scheduled_delay() {
    let (client, requests) = Client::new();
    let processor = builder(client).scheduled_delay(Duration::from_millis(1)).build().unwrap();
    // Repeated so that in some runs the thread is already asleep.
    for number in 0..50 {
        end_many(&processor, number..number + 1);
        assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), [number.to_string()]);
        processor.force_flush().unwrap();
    }
}

#[test]
fn large_spans_are_sent_in_smaller_batches() {
    let (client, requests) = Client::new();
    let processor = builder(client).build().unwrap();
    let long = "x".repeat(600_000);
    (0..4).for_each(|_| processor.on_end(named(&long)));
    for _ in 0..2 {
        assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()).len(), 2);
    }
}

#[test]
fn spans_are_dropped_and_counted_while_the_queue_is_full() {
    let (client, requests) = Client::new();
    let gate = Arc::clone(&client.gate);
    let processor = builder(client).max_export_batch_size(2).max_queue_size(5).build().unwrap();
    let closed = gate.lock().unwrap();
    end_many(&processor, 0..9);
    assert_eq!(processor.counts().lost(), 4);
    drop(closed);
    processor.force_flush().unwrap();
    end_many(&processor, 9..12);
    processor.force_flush().unwrap();
    let got: Vec<String> = requests.try_iter().flat_map(|request| names(&request)).collect();
    assert_eq!(got, ["0", "1", "2", "3", "4", "9", "10", "11"]);
    assert_eq!(processor.counts().lost(), 4);
}

#[test]
fn the_queue_has_a_limit_in_bytes() {
    let (client, requests) = Client::new();
    let processor = builder(client).max_queue_bytes(10_000).build().unwrap();
    let (short, long) = (named("short"), named(&"x".repeat(6_000)));
    [&long, &long, &short].into_iter().for_each(|span: &SpanData| processor.on_end(span.clone()));
    assert_eq!(processor.counts().lost(), 1);
    processor.force_flush().unwrap();
    let got = || requests.try_iter().flat_map(|request| names(&request)).collect::<Vec<_>>();
    assert_eq!(got(), [long.name.as_ref(), "short"]);
    processor.on_end(named(&"x".repeat(20_000)));
    assert_eq!(processor.counts().lost(), 2, "a span that never fits");
    processor.on_end(long.clone());
    processor.force_flush().unwrap();
    assert_eq!(got(), [long.name.as_ref()], "the queue has room again");
}

#[test]
fn retries_send_the_same_bytes() {
    let (client, requests) = Client::answering([Answer::Status(503), Answer::RetryAfter(0), Answer::Unreachable]);
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..1);
    flush(&processor);
    let bodies: Vec<_> = requests.try_iter().map(http::Request::into_body).collect();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| *body == bodies[0] && !body.is_empty()));
    let counts = processor.counts();
    assert_eq!((counts.exported, counts.lost()), (1, 0));
}

#[test]
fn spans_that_end_while_the_receiver_is_down_wait_for_it() {
    let (client, requests) = Client::answering([Answer::Unreachable; 2]);
    let processor = builder(client).max_export_batch_size(10).build().unwrap();
    end_many(&processor, 0..10);
    // The first attempt has failed or is about to fail.
    requests.recv_timeout(TIMEOUT).unwrap();
    end_many(&processor, 10..100);
    flush(&processor);
    let counts = processor.counts();
    assert_eq!((counts.exported, counts.lost()), (100, 0));
    // The first batch is sent first, and no batch is sent again after it was accepted.
    let mut got: Vec<_> = requests.try_iter().map(|request| names(&request)).collect();
    got.dedup();
    let got: Vec<_> = got.concat();
    assert_eq!(got, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_flush_reports_the_failure_of_its_own_batches_only() {
    for (answer, expected_text) in
        [(Answer::Status(401), "401"), (Answer::Panic, "panicked"), (Answer::Unreachable, "connection refused")]
    {
        let (client, requests) = Client::answering([answer]);
        let processor = builder(client).retry_for(Duration::ZERO).build().unwrap();
        processor.on_end(named("lost"));
        let message = message(processor.force_flush());
        assert!(message.contains(expected_text) && message.starts_with("Operation failed"), "{message}");
        assert_eq!(message.matches("Operation failed").count(), 1, "{message}");
        assert_eq!(processor.counts().lost(), 1);
        processor.on_end(named("next"));
        processor.force_flush().unwrap();
        assert_eq!(names(&requests.try_iter().last().unwrap()), ["next"]);
        let counts = processor.monitor().counts();
        let expected = if matches!(answer, Answer::Unreachable) { (0, 1) } else { (1, 0) };
        assert_eq!((counts.refused, counts.given_up), expected);
        assert_eq!((counts.exported, counts.lost()), (1, 1));
    }
}

#[test]
fn a_batch_with_too_long_a_retry_after_is_given_up() {
    let (client, requests) = Client::answering([Answer::RetryAfter(3_600)]);
    let processor = builder(client).retry_for(Duration::from_secs(60)).build().unwrap();
    processor.on_end(named("lost"));
    let message = message(processor.force_flush());
    assert!(message.contains("503"), "{message}");
    assert_eq!(processor.counts().given_up, 1);
    assert_eq!(requests.try_iter().count(), 1);
    // The receiver gets no request before the time it has set.
    processor.on_end(named("next"));
    processor.shutdown_with_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(requests.try_recv().is_err());
}

#[test]
fn rejected_spans_are_counted_and_not_sent_again() {
    let (client, requests) = Client::answering([Answer::Rejects(2)]);
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..5);
    processor.force_flush().unwrap();
    let counts = processor.counts();
    assert_eq!((counts.exported, counts.refused), (3, 2));
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn spans_of_many_threads_are_sent_once_each() {
    const THREADS: usize = 4;
    const EACH: usize = 5_000;
    let (client, requests) = Client::new();
    let processor = builder(client).max_queue_size(THREADS * EACH).build().unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let processor = &processor;
            scope.spawn(move || end_many(processor, thread * EACH..(thread + 1) * EACH));
        }
        // Flushes in between lose no spans.
        (0..20).for_each(|_| processor.force_flush().unwrap());
    });
    processor.shutdown().unwrap();
    let all: Vec<String> = requests.try_iter().flat_map(|request| names(&request)).collect();
    assert_eq!(processor.counts().lost(), 0);
    assert_eq!(all.len(), THREADS * EACH);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), THREADS * EACH);
}
