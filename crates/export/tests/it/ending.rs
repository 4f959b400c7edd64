//! Tests of shutdowns, drops and panics.

use std::{
    collections::HashSet,
    sync::{Arc, mpsc::RecvTimeoutError},
    thread,
    time::Duration,
};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkError,
    trace::{SdkTracerProvider, SpanProcessor as _},
};

use crate::{
    client::{Answer, Client, TIMEOUT, names},
    delivery::{builder, end_many, message},
    spans::named,
};

#[test]
fn a_shutdown_sends_waiting_spans_and_rejects_later_ones() {
    let (client, requests) = Client::new();
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..3);
    processor.shutdown().unwrap();
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["0", "1", "2"]);
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    processor.on_end(named("late"));
    assert_eq!(processor.counts().lost(), 1);
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    // The thread has ended and dropped the client.
    assert_eq!(requests.recv_timeout(TIMEOUT).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn a_shutdown_waits_no_longer_than_its_timeout() {
    let (client, _requests) = Client::new();
    let gate = Arc::clone(&client.gate);
    let processor = builder(client).build().unwrap();
    let closed = gate.lock().unwrap();
    processor.on_end(named("stuck"));
    let result = processor.shutdown_with_timeout(Duration::from_millis(1));
    assert!(matches!(result, Err(OTelSdkError::Timeout(_))), "{result:?}");
    drop(closed);
}

#[test]
fn a_processor_that_is_dropped_ends_its_thread() {
    // Repeated so that in some runs the thread is already asleep.
    for _ in 0..20 {
        let (client, requests) = Client::new();
        let processor = builder(client).build().unwrap();
        processor.on_end(named("first"));
        processor.force_flush().unwrap();
        processor.on_end(named("last"));
        drop(processor);
        let got = [0, 1].map(|_| names(&requests.recv_timeout(TIMEOUT).unwrap()));
        assert_eq!(got, [["first"], ["last"]]);
        assert_eq!(requests.recv_timeout(TIMEOUT).unwrap_err(), RecvTimeoutError::Disconnected);

        let (client, requests) = Client::new();
        let processor = builder(client).build().unwrap();
        processor.on_end(named("all"));
        processor.force_flush().unwrap();
        drop(processor);
        assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["all"]);
        assert_eq!(requests.recv_timeout(TIMEOUT).unwrap_err(), RecvTimeoutError::Disconnected);
    }
}

#[test]
fn each_span_that_ends_during_a_shutdown_is_sent_once_or_counted() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let (client, requests) = Client::new();
    let processor = builder(client).max_export_batch_size(100).max_queue_size(THREADS * EACH).build().unwrap();
    let mut got = Vec::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let processor = &processor;
            scope.spawn(move || end_many(processor, thread * EACH..(thread + 1) * EACH));
            // A flush after the shutdown returns an error; one before it waits for all spans.
            scope.spawn(|| while processor.force_flush().is_ok() {});
        }
        // Some spans have already ended.
        got.extend(names(&requests.recv_timeout(TIMEOUT).unwrap()));
        processor.shutdown_with_timeout(TIMEOUT).unwrap();
    });
    got.extend(requests.try_iter().flat_map(|request| names(&request)));
    assert_eq!(got.len() as u64 + processor.counts().lost(), (THREADS * EACH) as u64);
    assert_eq!(got.iter().collect::<HashSet<_>>().len(), got.len());
}

#[test]
fn a_shutdown_reports_that_the_last_spans_were_lost() {
    let (client, _requests) = Client::answering([Answer::Status(401)]);
    let processor = builder(client).build().unwrap();
    processor.on_end(named("lost"));
    let message = message(processor.shutdown());
    assert!(message.contains("401"), "{message}");
}

#[test]
fn a_dropped_provider_sends_waiting_spans() {
    let (client, requests) = Client::new();
    let processor = builder(client).build().unwrap();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    provider.tracer("test").start("last").end();
    drop(provider);
    assert_eq!(names(&requests.try_recv().unwrap()), ["last"]);
}

#[test]
fn flush_and_shutdown_do_not_wait_for_a_panicked_thread() {
    let (client, _requests) = Client::answering([Answer::Bomb]);
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..3);
    let flushed = message(processor.force_flush());
    assert!(flushed.contains("panicked"), "{flushed}");
    processor.on_end(named("late"));
    let counts = processor.counts();
    assert_eq!((counts.unsent, counts.dropped), (3, 1), "spans in flight are lost");
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
}

#[test]
fn a_shutdown_retries_within_its_timeout() {
    let (client, requests) = Client::answering([Answer::Unreachable, Answer::Status(503)]);
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..3);
    processor.shutdown_with_timeout(TIMEOUT).unwrap();
    let got: Vec<_> = requests.try_iter().map(|request| names(&request)).collect();
    assert_eq!(got, [["0", "1", "2"]; 3]);
    let counts = processor.counts();
    assert_eq!((counts.exported, counts.lost()), (3, 0));
}

#[test]
fn a_shutdown_that_times_out_reports_the_lost_spans() {
    let (client, requests) = Client::answering([Answer::Unreachable; 1_000]);
    let processor = builder(client).max_export_batch_size(2).build().unwrap();
    let monitor = processor.monitor();
    end_many(&processor, 0..5);
    requests.recv_timeout(TIMEOUT).unwrap();
    let message = message(processor.shutdown_with_timeout(Duration::from_millis(1)));
    drop(processor);
    // The thread ends and drops the client.
    let end = std::iter::from_fn(|| Some(requests.recv_timeout(TIMEOUT))).find_map(Result::err);
    assert_eq!(end, Some(RecvTimeoutError::Disconnected));
    assert!(message.contains("connection refused") || message.contains("timed out"), "{message}");
    let counts = monitor.counts();
    assert_eq!((counts.unsent, counts.lost(), counts.exported), (5, 5, 0));
}
