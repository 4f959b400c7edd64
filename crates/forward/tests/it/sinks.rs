//! Tests of a sink that is not OTLP.

use std::{
    collections::VecDeque,
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use throughline_forward::{Answer, Delivery, Records, Sink, SinkState, spawn_sink};
use throughline_otlp::Signal;

use crate::support::{Bench, config, name, numbers, until, until_idle};

/// A sink that keeps the numbers of spans. It returns the scripted responses first.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    taken: Mutex<Vec<i64>>,
    /// The number of requests that were made, and that were sent.
    requests: Mutex<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Handle(Arc<Scripted>);

impl Sink for Handle {
    type Request = Vec<i64>;

    fn endpoint(&self, signal: Signal) -> Option<String> {
        (signal == Signal::Traces).then(|| "a list".to_owned())
    }

    fn request(&self, records: Records<'_>) -> Result<Vec<i64>, String> {
        let Records::Spans(spans) = records else { panic!("only spans are expected: {records:?}") };
        if spans.len() > 4 {
            return Err("at most four".to_owned());
        }
        self.0.requests.lock().unwrap().0 += 1;
        Ok(numbers(spans))
    }

    fn send(&self, signal: Signal, request: &Vec<i64>) -> impl Future<Output = Answer> + Send {
        assert_eq!(signal, Signal::Traces);
        self.0.requests.lock().unwrap().1 += 1;
        let answer = self.0.answers.lock().unwrap().pop_front().unwrap_or_else(|| match request.as_slice() {
            one_or_more if !one_or_more.contains(&7) => Answer::Accepted,
            _ => Answer::Rejected { reason: "no sevens".to_owned() },
        });
        if matches!(answer, Answer::Accepted | Answer::PartiallyAccepted { .. }) {
            self.0.taken.lock().unwrap().extend(request);
        }
        future::ready(answer)
    }
}

#[tokio::test]
async fn each_response_of_a_sink_is_handled() {
    let bench = Bench::new();
    bench.append(0..10).await;
    bench.append_logs(0..3).await;
    let reason = || "not yet".to_owned();
    let answers = [
        Answer::RetryLater { reason: reason(), after: Some(Duration::from_millis(1)) },
        Answer::Stopped { reason: reason() },
        Answer::Unsupported { reason: reason(), after: None },
        Answer::PartiallyAccepted { rejected: 1, message: "one is too old".to_owned() },
    ];
    let sink = Handle(Arc::new(Scripted { answers: Mutex::new(answers.into()), ..Scripted::default() }));
    let delivery = Delivery::new(name("list"));
    let forwarder = spawn_sink(bench.sources(), delivery, sink.clone(), config());
    assert!(forwarder.status(Signal::Logs).is_none() && forwarder.status(Signal::Metrics).is_none());
    let status = until_idle(&forwarder, |status| status.delivered + status.rejected == 10).await;
    assert_eq!((status.delivered, status.rejected, status.waiting), (8, 2, 0));
    assert_eq!((status.cursor.as_str(), status.endpoint.as_str()), ("list", "a list"));
    assert_eq!(*sink.0.taken.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    // Ten and five spans are too many for one request; two and three are not. The first request is made once, although it is sent
    // four times. The rejected span is found by halving.
    let cursor = name("list").cursor(Signal::Traces);
    let entries = bench.outbox().quarantined_by(&cursor, 10).await.unwrap();
    let reasons: Vec<_> = entries.iter().map(|entry| (entry.place, entry.reason.as_str())).collect();
    assert_eq!(reasons, [(8, "no sevens"), (2, "partial success: one is too old")]);
    let (made, sent) = *sink.0.requests.lock().unwrap();
    assert_eq!(sent - made, 3, "a retry sends the same request");
    forwarder.shutdown().await;
}

#[tokio::test]
async fn delivery_resumes_at_the_cursor() {
    let bench = Bench::new();
    let sink = Handle(Arc::default());
    for (from, to) in [(10, 14), (14, 18)] {
        bench.append(from..to).await;
        let delivery = Delivery::new(name("list")).with_max_records(3);
        let forwarder = spawn_sink(bench.sources(), delivery, sink.clone(), config());
        until(&forwarder, |status| status.state == SinkState::Idle && status.delivered == 4).await;
        forwarder.shutdown().await;
    }
    assert_eq!(*sink.0.taken.lock().unwrap(), (10..18).collect::<Vec<_>>());
}
