use super::*;

const WITH_INGEST_TOKEN: bool = true;

fn session(name: u8) -> SessionId {
    SessionId::from_bytes([name; 16]).unwrap()
}

fn record(name: u8, n: u8) -> Record {
    Record { session: session(name), body: vec![n; 10] }
}

fn numbers(batch: &Batch) -> Vec<u8> {
    batch.records.iter().map(|record| record.body[0]).collect()
}

fn filled(max_records: usize, max_batch: usize, count: u8) -> Delivery {
    let mut delivery = Delivery::new(max_records, max_batch, !WITH_INGEST_TOKEN);
    for n in 0..count {
        delivery.push(Signal::Traces, record(b's', n), 100.0);
    }
    delivery
}

fn status(status: u16) -> Answer {
    Answer { status: Some(status), retry_after_s: None }
}

fn in_flight(delivery: &Delivery) -> Vec<u8> {
    numbers(delivery.in_flight().expect("a batch is in flight"))
}

#[test]
fn records_wait_until_the_earliest_is_due() {
    let mut delivery = filled(100, 10, 1);
    assert_eq!((delivery.next(0.0), delivery.due_ms()), (Step::Wait, Some(100.0)));
    delivery.push(Signal::Traces, record(b's', 1), 50.0);
    assert_eq!((delivery.next(0.0), delivery.due_ms()), (Step::Wait, Some(50.0)), "the earliest due time");
    assert_eq!(delivery.next(50.0), Step::Send);
    assert_eq!(in_flight(&delivery), [0, 1]);
    assert_eq!(delivery.next(50.0), Step::Rest, "one batch at a time");
    assert_eq!(delivery.answered(status(200), 60.0), Some(Status::Ok));
    assert_eq!(delivery.next(60.0), Step::Rest);
    assert_eq!(delivery.dropped(), 0);
}

#[test]
fn full_batches_are_sent_at_once_and_the_rest_waits() {
    let mut delivery = filled(100, 3, 7);
    for first in [0, 3] {
        assert_eq!(delivery.next(0.0), Step::Send);
        assert_eq!(in_flight(&delivery), [first, first + 1, first + 2]);
        delivery.answered(status(200), 0.0);
    }
    assert_eq!((delivery.next(0.0), delivery.due_ms()), (Step::Wait, Some(100.0)), "not a request for one record");
    delivery.push(Signal::Traces, record(b's', 7), 150.0);
    assert_eq!(delivery.next(100.0), Step::Send);
    assert_eq!(in_flight(&delivery), [6, 7]);
}

#[test]
fn a_flush_sends_all_waiting_records() {
    let mut delivery = filled(100, 3, 4);
    delivery.make_due();
    for expected in [&[0, 1, 2][..], &[3]] {
        assert_eq!(delivery.next(0.0), Step::Send);
        assert_eq!(in_flight(&delivery), expected);
        delivery.answered(status(200), 0.0);
    }
    assert_eq!(delivery.next(0.0), Step::Rest);
    delivery.push(Signal::Traces, record(b's', 4), 100.0);
    assert_eq!(delivery.next(0.0), Step::Wait, "a later record is not flushed");
}

#[test]
fn the_queue_is_bounded_and_counts_dropped_records() {
    let delivery = filled(3, 10, 5);
    assert_eq!((delivery.waiting(), delivery.dropped()), (3, 2));
    let mut delivery = Delivery::new(100, 10, !WITH_INGEST_TOKEN);
    for _ in 0..5 {
        delivery.push(Signal::Logs, Record { session: session(b's'), body: vec![0; 1 << 20] }, 0.0);
    }
    assert_eq!((delivery.waiting(), delivery.dropped()), (4, 1), "the size in bytes is bounded too");
}

#[test]
fn a_batch_has_one_signal_and_one_session() {
    let mut delivery = Delivery::new(100, 10, !WITH_INGEST_TOKEN);
    delivery.push(Signal::Logs, record(b'a', 0), 0.0);
    delivery.push(Signal::Traces, record(b'a', 1), 0.0);
    delivery.push(Signal::Traces, record(b'b', 2), 0.0);
    let mut sent = Vec::new();
    while delivery.next(0.0) == Step::Send {
        let batch = delivery.in_flight().unwrap();
        sent.push((batch.signal, batch.session, numbers(batch)));
        delivery.answered(status(200), 0.0);
    }
    let expected = [(Signal::Traces, b'a', 1), (Signal::Traces, b'b', 2), (Signal::Logs, b'a', 0)];
    assert_eq!(sent, expected.map(|(signal, name, n)| (signal, session(name), vec![n])));
}

#[test]
fn the_size_of_a_request_is_bounded() {
    let mut delivery = Delivery::new(100, 100, !WITH_INGEST_TOKEN);
    for _ in 0..3 {
        delivery.push(Signal::Traces, Record { session: session(b's'), body: vec![0; 300 << 10] }, 0.0);
    }
    assert_eq!(delivery.next(0.0), Step::Send);
    assert_eq!(delivery.in_flight().unwrap().records.len(), 1);
}

#[test]
fn retries_back_off_exponentially() {
    let mut delivery = filled(100, 10, 2);
    let mut now = 100.0;
    for wait in [1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0, 32_000.0, 60_000.0, 60_000.0] {
        assert_eq!(delivery.next(now), Step::Send);
        let reported = delivery.answered(Answer { status: None, retry_after_s: None }, now);
        assert_eq!(reported, Some(Status::Unreachable(None)));
        assert_eq!((delivery.next(now), delivery.due_ms()), (Step::Wait, Some(now + wait)));
        now += wait;
    }
    assert_eq!(delivery.next(now), Step::Send);
    assert_eq!(in_flight(&delivery), [0, 1], "complete and in order");
    delivery.answered(status(200), now);
    delivery.push(Signal::Traces, record(b's', 9), now);
    assert_eq!(delivery.next(now), Step::Send, "success resets the backoff");
}

#[test]
fn retry_after_is_obeyed_within_limits() {
    for (asked_s, waited_ms) in [(0.5, 1_000.0), (30.0, 30_000.0), (1e9, 300_000.0), (-5.0, 1_000.0)] {
        for code in [408, 429, 502, 503, 504] {
            let mut delivery = filled(100, 10, 1);
            assert_eq!(delivery.next(100.0), Step::Send);
            let answer = Answer { status: Some(code), retry_after_s: Some(asked_s) };
            assert_eq!(delivery.answered(answer, 100.0), Some(Status::Unreachable(Some(code))));
            assert_eq!((delivery.next(100.0), delivery.due_ms()), (Step::Wait, Some(100.0 + waited_ms)));
        }
    }
}

#[test]
fn rejected_records_are_dropped_and_counted() {
    for code in [400, 403, 404, 413, 415, 500] {
        let mut delivery = filled(100, 2, 3);
        assert_eq!(delivery.next(100.0), Step::Send);
        assert_eq!(delivery.answered(status(code), 100.0), Some(Status::Rejected(code)));
        assert_eq!(delivery.dropped(), 2);
        assert_eq!(delivery.next(100.0), Step::Send, "the next batch is sent");
    }
}

#[test]
fn a_missing_ingest_token_is_requested_first() {
    let mut delivery = Delivery::new(100, 10, WITH_INGEST_TOKEN);
    delivery.push(Signal::Traces, record(b's', 0), 0.0);
    assert_eq!(delivery.next(0.0), Step::RequestIngestToken(session(b's')));
    assert_eq!(delivery.next(0.0), Step::Rest);
    assert_eq!(delivery.ingest_token(Some(("t".to_owned(), 9e9)), status(200), 0.0), None);
    assert_eq!(
        (
            delivery.ingest_token_for(session(b's')).map(|token| token.text.as_str()),
            delivery.ingest_token_for(session(b'o'))
        ),
        (Some("t"), None)
    );
    assert_eq!(in_flight(&delivery), [0], "now it can be sent");
    delivery.answered(status(200), 0.0);
    delivery.push(Signal::Traces, record(b's', 1), 0.0);
    assert_eq!(delivery.next(0.0), Step::Send, "the ingest token is kept");
    delivery.answered(status(200), 0.0);
    delivery.push(Signal::Traces, record(b'o', 2), 0.0);
    assert_eq!(delivery.next(0.0), Step::RequestIngestToken(session(b'o')));
}

#[test]
fn a_rejected_ingest_token_is_renewed_once() {
    let mut delivery = Delivery::new(100, 10, WITH_INGEST_TOKEN);
    delivery.set_ingest_token(IngestToken { session: session(b's'), text: "old".to_owned(), expires_ms: 9e9 });
    delivery.push(Signal::Traces, record(b's', 0), 0.0);
    assert_eq!(delivery.next(0.0), Step::Send);
    assert_eq!(delivery.answered(status(401), 0.0), None);
    assert_eq!(delivery.next(0.0), Step::RequestIngestToken(session(b's')));
    delivery.ingest_token(Some(("new".to_owned(), 9e9)), status(200), 0.0);
    assert_eq!(delivery.answered(status(401), 0.0), Some(Status::Rejected(401)), "a second rejection is final");
    assert_eq!(delivery.dropped(), 1);
}

#[test]
fn a_failed_request_for_an_ingest_token_is_retried_or_final() {
    let ask = || {
        let mut delivery = Delivery::new(100, 10, WITH_INGEST_TOKEN);
        delivery.push(Signal::Traces, record(b's', 0), 0.0);
        assert_eq!(delivery.next(0.0), Step::RequestIngestToken(session(b's')));
        delivery
    };
    let mut delivery = ask();
    assert_eq!(delivery.ingest_token(None, status(503), 0.0), Some(Status::Unreachable(Some(503))));
    assert_eq!((delivery.next(0.0), delivery.due_ms(), delivery.waiting()), (Step::Wait, Some(1_000.0), 1));
    let mut delivery = ask();
    assert_eq!(delivery.ingest_token(None, status(403), 0.0), Some(Status::Rejected(403)));
    assert_eq!((delivery.waiting(), delivery.dropped()), (0, 1));
    let mut delivery = ask();
    assert_eq!(
        delivery.ingest_token(None, status(200), 0.0),
        Some(Status::Rejected(200)),
        "a response without an ingest token"
    );
}

#[test]
fn the_backoff_is_reset_when_the_network_is_back() {
    let mut delivery = filled(100, 10, 1);
    assert_eq!(delivery.next(100.0), Step::Send);
    delivery.answered(Answer { status: None, retry_after_s: None }, 100.0);
    delivery.forget_backoff();
    assert_eq!(delivery.next(101.0), Step::Send);
}

#[test]
fn at_exit_all_records_are_sent_in_requests_within_the_limit() {
    let origin = Origin::default();
    let mut delivery = filled(100, 2, 5);
    delivery.push(Signal::Logs, record(b's', 7), 100.0);
    assert_eq!(delivery.next(100.0), Step::Send);
    let limit = origin.overhead_bytes() + 2 * protobuf::framed_len(10);
    let all: Vec<_> = std::iter::from_fn(|| delivery.take_next(&origin, limit)).collect();
    let seen: Vec<_> = all.iter().map(|batch| (batch.signal, numbers(batch))).collect();
    let expected = [
        (Signal::Traces, vec![0, 1]),
        (Signal::Traces, vec![2, 3]),
        (Signal::Traces, vec![4]),
        (Signal::Logs, vec![7]),
    ];
    assert_eq!(seen, expected, "the batch in flight is sent again, and first");
    assert!(all.iter().all(|batch| batch.request(&origin).len() <= limit));
    assert_eq!((delivery.waiting(), delivery.bytes), (0, 0));
    assert_eq!(delivery.answered(status(200), 100.0), None, "nothing is in flight any more");
    assert_eq!(delivery.attempt(), 2, "a response to the first attempt is too late");
}

#[test]
fn a_batch_that_failed_at_exit_is_queued_again() {
    let mut delivery = filled(100, 10, 3);
    let batch = delivery.take_next(&Origin::default(), 60_000).unwrap();
    delivery.push(Signal::Traces, record(b's', 3), 200.0);
    delivery.answered_late(batch, Answer { status: None, retry_after_s: None }, 100.0);
    assert_eq!(delivery.next(1_100.0), Step::Send);
    assert_eq!(in_flight(&delivery), [0, 1, 2, 3]);
}

#[test]
fn records_put_back_above_the_limit_are_dropped_and_counted() {
    let mut delivery = filled(3, 3, 3);
    assert_eq!(delivery.next(100.0), Step::Send);
    delivery.push(Signal::Traces, record(b's', 8), 100.0);
    delivery.push(Signal::Traces, record(b's', 9), 100.0);
    delivery.answered(Answer { status: None, retry_after_s: None }, 100.0);
    assert_eq!((delivery.waiting(), delivery.dropped()), (3, 2));
}

#[test]
fn ingest_tokens_are_kept_for_a_few_sessions_until_they_expire() {
    let mut delivery = Delivery::new(100, 10, WITH_INGEST_TOKEN);
    for n in 1..7 {
        delivery.set_ingest_token(IngestToken { session: session(n), text: "t".to_owned(), expires_ms: 1_000.0 });
    }
    assert!(!delivery.is_admitted(session(2), 0.0) && delivery.is_admitted(session(3), 0.0));
    assert!(delivery.is_admitted(session(6), 999.0) && !delivery.is_admitted(session(6), 1_000.0));
    assert!(Delivery::new(1, 1, !WITH_INGEST_TOKEN).is_admitted(session(9), 0.0));
}

#[test]
fn attributes_are_added_to_waiting_records_that_lack_them() {
    let mut delivery = filled(100, 10, 1);
    let mut attributes = Attributes::default();
    attributes.set("user.id", "yuki");
    delivery.describe_waiting(session(b's'), &attributes, "user.id");
    let once = delivery.traces[0].body.clone();
    delivery.describe_waiting(session(b's'), &attributes, "user.id");
    assert_eq!(delivery.traces[0].body, once, "the attribute is present already");
    assert!(once.len() > 10 && delivery.bytes == once.len());

    let mut named = Attributes::default();
    named.set("id", "7");
    delivery.describe_waiting(session(b's'), &named, "id");
    assert!(delivery.traces[0].body.len() > once.len(), "`user.id` is not `id`");
    let before = delivery.traces[0].body.clone();
    let mut plan = Attributes::default();
    plan.set("plan", "free");
    delivery.describe_waiting(session(b't'), &plan, "plan");
    assert_eq!(delivery.traces[0].body, before, "another session");
}
