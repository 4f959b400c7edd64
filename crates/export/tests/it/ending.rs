//! How a processor ends, by itself or by a panic.

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
fn a_shutdown_sends_what_waits_and_takes_nothing_more() {
    let (client, requests) = Client::new();
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..3);
    processor.shutdown().unwrap();
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["0", "1", "2"]);
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    processor.on_end(named("late"));
    assert_eq!(processor.counts().lost(), 1);
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    // The thread has gone, and the client with it: nobody is left who could send.
    assert_eq!(requests.recv_timeout(TIMEOUT).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn a_shutdown_waits_no_longer_than_it_may() {
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
    // Often enough that the thread sleeps already when that happens.
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
fn each_span_that_ends_while_a_processor_is_shut_down_goes_once_or_is_counted() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let (client, requests) = Client::new();
    let processor = builder(client).max_export_batch_size(100).max_queue_size(THREADS * EACH).build().unwrap();
    let mut got = Vec::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let processor = &processor;
            scope.spawn(move || end_many(processor, thread * EACH..(thread + 1) * EACH));
            // Whoever comes after the end is told so, and whoever came before has waited for all of it.
            scope.spawn(|| while processor.force_flush().is_ok() {});
        }
        // Some have ended.
        got.extend(names(&requests.recv_timeout(TIMEOUT).unwrap()));
        processor.shutdown_with_timeout(TIMEOUT).unwrap();
    });
    got.extend(requests.try_iter().flat_map(|request| names(&request)));
    assert_eq!(got.len() as u64 + processor.counts().lost(), (THREADS * EACH) as u64);
    assert_eq!(got.iter().collect::<HashSet<_>>().len(), got.len());
}

#[test]
fn a_shutdown_says_that_the_last_spans_were_lost() {
    let (client, _requests) = Client::answering([Answer::Status(401)]);
    let processor = builder(client).build().unwrap();
    processor.on_end(named("lost"));
    let message = message(processor.shutdown());
    assert!(message.contains("401"), "{message}");
}

#[test]
fn a_provider_that_is_dropped_sends_what_waits_first() {
    let (client, requests) = Client::new();
    let processor = builder(client).build().unwrap();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    provider.tracer("test").start("last").end();
    drop(provider);
    assert_eq!(names(&requests.try_recv().unwrap()), ["last"]);
}

#[test]
fn nobody_waits_for_a_thread_that_has_panicked() {
    let (client, _requests) = Client::answering([Answer::Bomb]);
    let processor = builder(client).build().unwrap();
    end_many(&processor, 0..3);
    let flushed = message(processor.force_flush());
    assert!(flushed.contains("panicked"), "{flushed}");
    processor.on_end(named("late"));
    let counts = processor.counts();
    assert_eq!((counts.unsent, counts.dropped), (3, 1), "those that were on their way are lost");
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
}

#[test]
fn a_shutdown_tries_again_within_its_time() {
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
fn a_shutdown_whose_time_is_over_says_what_is_lost() {
    let (client, requests) = Client::answering([Answer::Unreachable; 1_000]);
    let processor = builder(client).max_export_batch_size(2).build().unwrap();
    let monitor = processor.monitor();
    end_many(&processor, 0..5);
    requests.recv_timeout(TIMEOUT).unwrap();
    let message = message(processor.shutdown_with_timeout(Duration::from_millis(1)));
    drop(processor);
    // The thread ends, and with it the client.
    let end = std::iter::from_fn(|| Some(requests.recv_timeout(TIMEOUT))).find_map(Result::err);
    assert_eq!(end, Some(RecvTimeoutError::Disconnected));
    assert!(message.contains("nobody is there") || message.contains("timed out"), "{message}");
    let counts = monitor.counts();
    assert_eq!((counts.unsent, counts.lost(), counts.exported), (5, 5, 0));
}
