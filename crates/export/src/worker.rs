//! The thread that posts what was encoded.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use opentelemetry::Context;

use crate::{
    body::{KEPT_BYTES, Source},
    queue::{Fate, Queue, after},
    request::{Answer, Poster},
    retry::Backoff,
};

/// Posts batch after batch until the queue is shut down and empty, or the time for the shutdown is over.
pub(crate) fn run(queue: &Queue, source: &Mutex<Source>, poster: &Poster) {
    let _ending = Ending(queue);
    // A client that is traced makes no spans of its own of this.
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    let mut memory = Vec::new();
    let mut reported = 0;
    // Before this time the receiver wants no request.
    let mut not_before = None;
    while let Some(closed) = queue.next() {
        let body = source.lock().unwrap_or_else(PoisonError::into_inner).body(&closed.batch, memory);
        let spans = closed.batch.spans;
        let fate = deliver(queue, poster, closed.at, &poster.compress(body.clone()), &mut not_before);
        match &fate {
            Fate::Taken { rejected: 0 } => {}
            Fate::Taken { rejected } => tracing::error!(spans = rejected, "the receiver has rejected spans"),
            Fate::Refused(problem) => tracing::error!(problem, spans, "spans cannot be exported"),
            Fate::GivenUp(problem) => tracing::error!(problem, spans, "spans are given up after retries"),
            Fate::Unsent(problem) => tracing::error!(problem, spans, "spans are not sent before the shutdown ends"),
        }
        queue.gone(closed.batch, fate);
        // Not each time: for the first one, and when there are more than twice as many as were reported.
        if dropped(queue) > reported * 2 {
            reported = report_dropped(queue);
        }
        // The next body is about as long, if this one is not an exception. A client that still has it keeps it.
        memory = if body.len() <= KEPT_BYTES && body.is_unique() { Vec::from(body) } else { Vec::new() };
    }
    if dropped(queue) > reported {
        report_dropped(queue);
    }
}

/// Posts one body until it is taken or refused, or there is no time left.
fn deliver(queue: &Queue, poster: &Poster, closed: Instant, body: &Bytes, not_before: &mut Option<Instant>) -> Fate {
    let mut backoff = Backoff::new();
    if let Some(named) = not_before.take()
        && !queue.wait_to_retry(named, true)
    {
        return Fate::Unsent("the receiver is not to be asked again yet".to_owned());
    }
    loop {
        let (problem, retry_after) = match poster.post(body.clone()) {
            Answer::Taken { rejected, words } => {
                if !words.is_empty() {
                    // Without rejected spans it is a warning of the receiver's.
                    tracing::warn!(words, rejected, "the receiver of spans answers");
                }
                return Fate::Taken { rejected };
            }
            Answer::Refused { problem } => return Fate::Refused(problem),
            Answer::NotNow { problem, retry_after } => (problem, retry_after),
        };
        // As long as a batch is retried is as long as a receiver may be away by its own word.
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

/// Whether a batch of this age would be too old after a pause.
fn is_over(age: Duration, pause: Duration, retry_for: Duration) -> bool {
    age.saturating_add(pause) > retry_for
}

/// Tells the queue that nobody works any more, after a panic too.
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
    tracing::warn!(dropped, "spans were dropped: more end than can be exported, or some end after the shutdown");
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

    /// Refuses all. While it posts spans end: each time as many as are left here.
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
    fn what_is_lost_is_logged_but_not_each_time() {
        let queue = Arc::new(Queue::new(Settings {
            scheduled_delay: Duration::MAX,
            max_export_batch_size: 1,
            max_queue_size: 10,
            max_queue_bytes: 1_000,
            retry_for: Duration::ZERO,
        }));
        (0..4).for_each(|_| push(&queue));
        // Whatever comes now is dropped.
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
