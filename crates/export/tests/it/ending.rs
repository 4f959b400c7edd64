//! How a processor ends, by itself or by a panic.

use std::{
    collections::HashSet,
    convert::Infallible,
    panic::panic_any,
    sync::{Arc, mpsc::RecvTimeoutError},
    thread,
    time::Duration,
};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{SdkTracerProvider, SpanData, SpanExporter, SpanProcessor as _},
};

use crate::{
    client::{Answer, Client, PATIENCE, exporter, names},
    delivery::{builder, end_many, message},
    spans::named,
};

#[test]
fn a_shutdown_sends_what_waits_and_takes_nothing_more() {
    let (client, requests) = Client::new();
    let processor = builder(client).build(exporter).unwrap();
    end_many(&processor, 0..3);
    processor.shutdown().unwrap();
    assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()), ["0", "1", "2"]);
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    processor.on_end(named("late"));
    assert_eq!(processor.dropped(), 1);
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    // The thread has gone, and the client with it: nobody is left who could send.
    assert_eq!(requests.recv_timeout(PATIENCE).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn a_shutdown_waits_no_longer_than_it_may() {
    let (client, _requests) = Client::new();
    let gate = Arc::clone(&client.gate);
    let processor = builder(client).build(exporter).unwrap();
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
        let processor = builder(client).build(exporter).unwrap();
        processor.on_end(named("first"));
        processor.force_flush().unwrap();
        processor.on_end(named("last"));
        drop(processor);
        let got = [0, 1].map(|_| names(&requests.recv_timeout(PATIENCE).unwrap()));
        assert_eq!(got, [["first"], ["last"]]);
        assert_eq!(requests.recv_timeout(PATIENCE).unwrap_err(), RecvTimeoutError::Disconnected);

        let (client, requests) = Client::new();
        let processor = builder(client).build(exporter).unwrap();
        processor.on_end(named("all"));
        processor.force_flush().unwrap();
        drop(processor);
        assert_eq!(names(&requests.recv_timeout(PATIENCE).unwrap()), ["all"]);
        assert_eq!(requests.recv_timeout(PATIENCE).unwrap_err(), RecvTimeoutError::Disconnected);
    }
}

#[test]
fn each_span_that_ends_while_a_processor_is_shut_down_goes_once_or_is_counted() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let (client, requests) = Client::new();
    let processor = builder(client).max_export_batch_size(100).max_queue_size(THREADS * EACH).build(exporter).unwrap();
    let mut got = Vec::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let processor = &processor;
            scope.spawn(move || end_many(processor, thread * EACH..(thread + 1) * EACH));
            // Whoever comes after the end is told so, and whoever came before has waited for all of it.
            scope.spawn(|| while processor.force_flush().is_ok() {});
        }
        // Some have ended.
        got.extend(names(&requests.recv_timeout(PATIENCE).unwrap()));
        processor.shutdown_with_timeout(PATIENCE).unwrap();
    });
    got.extend(requests.try_iter().flat_map(|request| names(&request)));
    assert_eq!(got.len() as u64 + processor.dropped(), (THREADS * EACH) as u64);
    assert_eq!(got.iter().collect::<HashSet<_>>().len(), got.len());
}

#[test]
fn a_shutdown_says_that_the_last_spans_were_lost() {
    let (client, _requests) = Client::answering([Answer::Status(401)]);
    let processor = builder(client).build(exporter).unwrap();
    processor.on_end(named("lost"));
    let message = message(processor.shutdown());
    assert!(message.contains("401"), "{message}");
}

#[test]
fn a_provider_that_is_dropped_sends_what_waits_first() {
    let (client, requests) = Client::new();
    let processor = builder(client).build(exporter).unwrap();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    provider.tracer("test").start("last").end();
    drop(provider);
    assert_eq!(names(&requests.try_recv().unwrap()), ["last"]);
}

/// Panics in places where nobody looks for it.
#[derive(Debug)]
struct Panics {
    in_export: bool,
}

/// A panic that panics when it is forgotten.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a panic that panics");
    }
}

impl SpanExporter for Panics {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        if self.in_export { panic_any(Bomb) } else { Ok(()) }
    }

    fn shutdown(&self) -> OTelSdkResult {
        panic!("a shutdown that panics")
    }
}

#[test]
fn nobody_waits_for_a_thread_that_has_panicked() {
    let (client, _requests) = Client::new();
    let processor = builder(client).build(|_client| Ok::<_, Infallible>(Panics { in_export: true })).unwrap();
    end_many(&processor, 0..3);
    let flushed = message(processor.force_flush());
    assert!(flushed.contains("panicked"), "{flushed}");
    processor.on_end(named("late"));
    assert_eq!(processor.dropped(), 4, "those that were on their way are lost");
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
}

#[test]
fn an_exporter_whose_shutdown_panics_has_ended() {
    let (client, _requests) = Client::new();
    let processor = builder(client).build(|_client| Ok::<_, Infallible>(Panics { in_export: false })).unwrap();
    processor.shutdown_with_timeout(PATIENCE).unwrap();
}
