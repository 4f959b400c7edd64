//! The thread that posts the batches.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use opentelemetry::Context;

use crate::{
    body::{KEPT_BYTES, Source},
    queue::{Fate, Queue, after},
    request::{Poster, RequestResult},
    retry::Backoff,
};

/// Posts batches until the queue is shut down and empty, or the shutdown timeout has passed.
pub(crate) fn run(queue: &Queue, source: &Mutex<Source>, poster: &Poster) {
    let _ending = Ending(queue);
    // Prevents spans of the HTTP client for these requests.
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    let mut memory = Vec::new();
    let mut reported = 0;
    // The earliest time of the next request, set by the receiver's `Retry-After`.
    let mut not_before = None;
    while let Some(closed) = queue.next() {
        let body = source.lock().unwrap_or_else(PoisonError::into_inner).body(&closed.batch, memory);
        let spans = closed.batch.spans;
        let fate = deliver(queue, poster, closed.at, &poster.compress(body.clone()), &mut not_before);
        match &fate {
            Fate::Accepted { rejected: 0 } => {}
            Fate::Accepted { rejected } => tracing::error!(spans = rejected, "the receiver rejected spans"),
            Fate::Refused(problem) => tracing::error!(problem, spans, "spans cannot be exported"),
            Fate::GivenUp(problem) => tracing::error!(problem, spans, "spans were lost: all retries failed"),
            Fate::Unsent(problem) => tracing::error!(problem, spans, "spans were lost: the shutdown timed out"),
        }
        queue.done(closed.batch, fate);
        // Reported for the first dropped span, and whenever the count has more than doubled since the last report.
        if dropped(queue) > reported * 2 {
            reported = report_dropped(queue);
        }
        // Reuses the memory, because the next body usually has a similar size, unless it is large or the client still
        // holds it.
        memory = if body.len() <= KEPT_BYTES && body.is_unique() { Vec::from(body) } else { Vec::new() };
    }
    if dropped(queue) > reported {
        report_dropped(queue);
    }
}

/// Posts one body until it is accepted or refused, or there is no time left.
fn deliver(queue: &Queue, poster: &Poster, closed: Instant, body: &Bytes, not_before: &mut Option<Instant>) -> Fate {
    let mut backoff = Backoff::new();
    if let Some(named) = not_before.take()
        && !queue.wait_to_retry(named, true)
    {
        return Fate::Unsent("the receiver's Retry-After ends after the shutdown timeout".to_owned());
    }
    loop {
        let (problem, retry_after) = match poster.post(body.clone()) {
            RequestResult::Accepted { rejected, message } => {
                if !message.is_empty() {
                    // Without rejected spans the message is a warning.
                    tracing::warn!(receiver_message = message, rejected, "the receiver accepted spans with a message");
                }
                return Fate::Accepted { rejected };
            }
            RequestResult::Refused { problem } => return Fate::Refused(problem),
            RequestResult::Retry { problem, retry_after } => (problem, retry_after),
        };
        // `Retry-After` is limited to the time for which a batch is retried.
        let named = retry_after.map(|pause| pause.min(queue.retry_for()));
        let pause = named.unwrap_or_else(|| backoff.next(queue.is_shut_down()));
        if is_over(closed.elapsed(), pause, queue.retry_for()) {
            *not_before = named.map(after);
            return Fate::GivenUp(problem);
        }
        queue.attempt_failed(&problem);
        if !queue.wait_to_retry(after(pause), named.is_some()) {
            return Fate::Unsent(problem);
        }
    }
}

/// Returns whether a batch of this age would be too old after a pause.
fn is_over(age: Duration, pause: Duration, retry_for: Duration) -> bool {
    age.saturating_add(pause) > retry_for
}

/// Marks the queue as over when the worker ends, also after a panic.
struct Ending<'a>(&'a Queue);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over();
    }
}

fn dropped(queue: &Queue) -> u64 {
    queue.counters().read().dropped
}

fn report_dropped(queue: &Queue) -> u64 {
    let dropped = dropped(queue);
    tracing::warn!(dropped, "spans were dropped: the queue is full, or they ended after the shutdown");
    dropped
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::Arc,
    };

    use async_trait::async_trait;
    use http::{Request, Response};
    use opentelemetry::InstrumentationScope;
    use opentelemetry_http::{HttpClient, HttpError};
    use tracing::subscriber::with_default;

    use super::*;
    use crate::{endpoint::Endpoint, settings::Settings};

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

    /// Refuses every request. During each request it ends the number of spans that it pops from `ending`.
    struct Client {
        queue: Arc<Queue>,
        ending: Mutex<Vec<usize>>,
    }

    impl std::fmt::Debug for Client {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("Client")
        }
    }

    #[async_trait]
    impl HttpClient for Client {
        async fn send_bytes(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let ending = self.ending.lock().unwrap().pop().unwrap_or_default();
            (0..ending).for_each(|_| push(&self.queue));
            Ok(Response::builder().status(400).body(Bytes::new())?)
        }
    }

    fn push(queue: &Queue) {
        queue.push(&InstrumentationScope::builder("test").build(), b"span");
    }

    #[test]
    fn lost_spans_are_logged_but_not_each_time() {
        let queue = Arc::new(Queue::new(Settings {
            scheduled_delay: Duration::MAX,
            max_export_batch_size: 1,
            max_queue_size: 10,
            max_queue_bytes: 1_000,
            retry_for: Duration::ZERO,
        }));
        (0..4).for_each(|_| push(&queue));
        // Later spans are dropped.
        queue.close();
        let client = Client { queue: Arc::clone(&queue), ending: Mutex::new(vec![1, 4, 1, 2]) };
        let poster = Poster::new(Arc::new(client), Endpoint::default());
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        with_default(subscriber, || run(&queue, &Mutex::default(), &poster));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("spans cannot be exported").count(), 4, "{log}");
        let dropped: Vec<_> =
            log.lines().filter_map(|line| line.rsplit_once("dropped=")).map(|(_, reported)| reported).collect();
        assert_eq!(dropped, ["2", "7", "8"], "{log}");
        let counts = queue.counters().read();
        assert_eq!((counts.refused, counts.dropped, counts.lost()), (4, 8, 12));
    }

    #[test]
    fn a_batch_is_too_old_when_the_next_attempt_would_be() {
        let s = Duration::from_secs;
        assert!(!is_over(s(20), s(10), s(30)));
        assert!(is_over(s(21), s(10), s(30)));
        assert!(is_over(s(0), s(1), Duration::ZERO));
        assert!(!is_over(s(1_000_000), s(10), Duration::MAX));
    }
}
