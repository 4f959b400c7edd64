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

#[cfg(test)]
mod tests {
    use std::{
        fmt::{self, Debug, Formatter},
        io::{self, Write},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use async_trait::async_trait;
    use http::{Request, Response};
    use opentelemetry::InstrumentationScope;
    use opentelemetry_http::{HttpClient, HttpError};
    use opentelemetry_sdk::{error::OTelSdkResult, trace::SpanData};
    use tracing::subscriber::with_default;

    use super::*;
    use crate::settings::Settings;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Unused;

    #[async_trait]
    impl HttpClient for Unused {
        async fn send_bytes(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            unreachable!("the exporter posts nothing")
        }
    }

    /// While it exports spans end: each time as many as are left here.
    struct Exporter<'a> {
        queue: &'a Queue,
        ending: Mutex<Vec<usize>>,
        is_shut_down: AtomicBool,
    }

    impl Debug for Exporter<'_> {
        fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
            formatter.write_str("Exporter")
        }
    }

    impl SpanExporter for Exporter<'_> {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let ending = self.ending.lock().unwrap().pop().unwrap_or_default();
            (0..ending).for_each(|_| push(self.queue));
            Ok(())
        }

        fn shutdown(&self) -> OTelSdkResult {
            self.is_shut_down.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    fn push(queue: &Queue) {
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
    }

    #[test]
    fn what_is_lost_is_logged_but_not_each_time() {
        let queue = Queue::new(Settings {
            scheduled_delay: Duration::MAX,
            max_export_batch_size: 1,
            max_queue_size: 10,
            max_queue_bytes: 1_000,
        });
        (0..4).for_each(|_| push(&queue));
        // Whatever comes now is dropped.
        queue.close();
        let exporter =
            Exporter { queue: &queue, ending: Mutex::new(vec![1, 4, 1, 2]), is_shut_down: AtomicBool::new(false) };
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        with_default(subscriber, || run(&queue, &Mutex::default(), &BodyClient::new(Arc::new(Unused)), &exporter));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("spans cannot be exported").count(), 4, "{log}");
        let dropped: Vec<_> =
            log.lines().filter_map(|line| line.rsplit_once("dropped=")).map(|(_, told)| told).collect();
        assert_eq!(dropped, ["2", "7", "8"], "{log}");
        assert!(exporter.is_shut_down.load(Ordering::Relaxed));
    }
}
