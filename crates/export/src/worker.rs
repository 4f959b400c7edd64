//! The thread that posts what was encoded.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_sdk::{error::OTelSdkError, trace::SpanExporter};

use crate::{
    body::{KEPT_BYTES, Source},
    client::BodyClient,
    queue::Queue,
};

/// Posts batch after batch until the queue is shut down and empty.
pub(crate) fn run(queue: &Queue, source: &Mutex<Source>, client: &BodyClient, exporter: &impl SpanExporter) {
    let _ending = Ending(queue);
    // A client that is traced makes no spans of its own of this.
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    let (mut memory, mut told) = (Vec::new(), 0);
    while let Some(batch) = queue.next() {
        let body = source.lock().unwrap_or_else(PoisonError::into_inner).body(&batch, memory);
        let (body, result) = post(body, client, exporter);
        if let Err(problem) = &result {
            tracing::error!(problem, spans = batch.spans, "spans cannot be exported");
        }
        queue.gone(batch, result);
        // Not each time: for the first one, and when there are more than twice as many as were told.
        if queue.dropped() > told * 2 {
            told = tell_dropped(queue);
        }
        // The next body is about as long, if this one is not an exception. Whoever still has it keeps it.
        memory = if body.len() <= KEPT_BYTES && body.is_unique() { Vec::from(body) } else { Vec::new() };
    }
    if queue.dropped() > told {
        tell_dropped(queue);
    }
    // It cannot be of help to anybody any more whether this fails.
    let _ = exporter.shutdown();
}

/// Tells the queue that nobody works any more, if by a panic, too.
struct Ending<'a>(&'a Queue);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over();
    }
}

fn tell_dropped(queue: &Queue) -> u64 {
    let dropped = queue.dropped();
    tracing::warn!(dropped, "spans were dropped: more end than can be exported, or some end after the shutdown");
    dropped
}

fn post(body: Bytes, client: &BodyClient, exporter: &impl SpanExporter) -> (Bytes, Result<(), String>) {
    client.put(body);
    // Of no spans: they are in the body already.
    let exported = catch_unwind(AssertUnwindSafe(|| futures_executor::block_on(exporter.export(Vec::new()))));
    let (body, used) = client.take();
    let result = match (used, exported) {
        (Err(misuse), _) => Err(misuse.to_string()),
        (Ok(()), Ok(exported)) => exported.map_err(|error| match error {
            // Whoever flushes gets it within another one.
            OTelSdkError::InternalFailure(problem) => problem,
            other => other.to_string(),
        }),
        (Ok(()), Err(_)) => Err("the exporter panicked".to_owned()),
    };
    (body, result)
}
