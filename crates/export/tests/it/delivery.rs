//! When spans go, and what becomes of those that do not get through.

use std::{collections::HashSet, convert::Infallible, sync::Arc, thread, time::Duration};

use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{InMemorySpanExporter, SpanData, SpanProcessor as _},
};
use throughline_export::{BuildError, Builder, EncodingSpanProcessor};

use crate::{
    client::{Answer, Client, PATIENCE, exporter, names},
    spans::named,
};

/// Nothing goes by itself before a test has ended.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

pub(crate) fn builder(client: Client) -> Builder {
    EncodingSpanProcessor::builder(client).scheduled_delay(NEVER)
}

pub(crate) fn end_many(processor: &EncodingSpanProcessor, names: std::ops::Range<usize>) {
    names.for_each(|number| processor.on_end(named(&number.to_string())));
}

pub(crate) fn message(result: OTelSdkResult) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_full_batch_goes_at_once_and_the_rest_waits() {
    let (client, requests) = Client::new();
    let processor = builder(client).max_export_batch_size(3).build(exporter).unwrap();
    end_many(&processor, 0..7);
    assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()), ["0", "1", "2"]);
    assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()), ["3", "4", "5"]);
    processor.force_flush().unwrap();
    assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()), ["6"]);
    processor.force_flush().unwrap();
    assert!(requests.try_recv().is_err(), "of nothing no request is made");
}

#[test]
fn a_span_goes_when_it_has_waited_long_enough() {
    let (client, requests) = Client::new();
    let processor = builder(client).scheduled_delay(Duration::from_millis(1)).build(exporter).unwrap();
    // Often enough that the thread sleeps already when one ends.
    for number in 0..50 {
        end_many(&processor, number..number + 1);
        assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()), [number.to_string()]);
        processor.force_flush().unwrap();
    }
}

#[test]
fn large_spans_go_in_smaller_batches() {
    let (client, requests) = Client::new();
    let processor = builder(client).build(exporter).unwrap();
    let long = "x".repeat(600_000);
    (0..4).for_each(|_| processor.on_end(named(&long)));
    for _ in 0..2 {
        assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()).len(), 2);
    }
}

#[test]
fn what_finds_no_room_is_dropped_and_counted_and_room_comes_back() {
    let (client, requests) = Client::new();
    let gate = Arc::clone(&client.gate);
    let processor = builder(client).max_export_batch_size(2).max_queue_size(5).build(exporter).unwrap();
    let closed = gate.lock().unwrap();
    end_many(&processor, 0..9);
    assert_eq!(processor.dropped(), 4);
    drop(closed);
    processor.force_flush().unwrap();
    end_many(&processor, 9..12);
    processor.force_flush().unwrap();
    let got: Vec<String> = requests.try_iter().flat_map(|request| names(&request)).collect();
    assert_eq!(got, ["0", "1", "2", "3", "4", "9", "10", "11"]);
    assert_eq!(processor.dropped(), 4);
}

#[test]
fn the_queue_has_a_limit_in_bytes() {
    let (client, requests) = Client::new();
    let processor = builder(client).max_queue_bytes(10_000).build(exporter).unwrap();
    let (short, long) = (named("short"), named(&"x".repeat(6_000)));
    [&long, &long, &short].into_iter().for_each(|span: &SpanData| processor.on_end(span.clone()));
    assert_eq!(processor.dropped(), 1);
    processor.force_flush().unwrap();
    let got = || requests.try_iter().flat_map(|request| names(&request)).collect::<Vec<_>>();
    assert_eq!(got(), [long.name.as_ref(), "short"]);
    processor.on_end(named(&"x".repeat(20_000)));
    assert_eq!(processor.dropped(), 2, "one that never fits");
    processor.on_end(long.clone());
    processor.force_flush().unwrap();
    assert_eq!(got(), [long.name.as_ref()], "room comes back");
}

#[test]
fn what_can_be_tried_again_is_tried_with_the_same_bytes() {
    let (client, requests) = Client::answering([Answer::Status(503), Answer::Status(429)]);
    let processor = builder(client).build(exporter).unwrap();
    processor.on_end(named("one"));
    processor.force_flush().unwrap();
    let bodies: Vec<_> = requests.try_iter().map(http::Request::into_body).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0] && !body.is_empty()));
}

#[test]
fn a_flush_says_what_went_wrong_and_the_next_batch_is_another_one() {
    for (answer, words) in
        [(Answer::Status(401), "401"), (Answer::Panic, "panicked"), (Answer::Unreachable, "network error")]
    {
        // As often as it is tried.
        let (client, requests) = Client::answering([answer; 3].into_iter().take(match answer {
            Answer::Unreachable => 3,
            _ => 1,
        }));
        let processor = builder(client).build(exporter).unwrap();
        processor.on_end(named("lost"));
        let message = message(processor.force_flush());
        assert!(message.contains(words) && message.starts_with("Operation failed"), "{message}");
        assert_eq!(message.matches("Operation failed").count(), 1, "{message}");
        processor.on_end(named("next"));
        processor.force_flush().unwrap();
        assert_eq!(names(&requests.try_iter().last().unwrap()), ["next"]);
    }
}

#[test]
fn an_exporter_that_goes_another_way_is_told() {
    let (client, _requests) = Client::new();
    let processor = builder(client).build(|_client| Ok::<_, Infallible>(InMemorySpanExporter::default())).unwrap();
    processor.on_end(named("lost"));
    let message = message(processor.force_flush());
    assert!(message.contains("with_http_client"), "{message}");
}

#[test]
fn an_exporter_that_cannot_be_made_is_an_error() {
    let (client, _requests) = Client::new();
    let problem = std::io::Error::other("no such thing");
    let error = builder(client).build(|_client| Err::<InMemorySpanExporter, _>(problem)).unwrap_err();
    assert!(matches!(error, BuildError::Exporter(_)));
    assert!(error.to_string().contains("no such thing"));
}

#[test]
fn spans_of_many_threads_come_once_each() {
    const THREADS: usize = 4;
    const EACH: usize = 5_000;
    let (client, requests) = Client::new();
    let processor = builder(client).max_queue_size(THREADS * EACH).build(exporter).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let processor = &processor;
            scope.spawn(move || end_many(processor, thread * EACH..(thread + 1) * EACH));
        }
        // Flushes in between take nothing away from anybody.
        (0..20).for_each(|_| processor.force_flush().unwrap());
    });
    processor.shutdown().unwrap();
    let all: Vec<String> = requests.try_iter().flat_map(|request| names(&request)).collect();
    assert_eq!(processor.dropped(), 0);
    assert_eq!(all.len(), THREADS * EACH);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), THREADS * EACH);
}
