//! Tests of tail sampling, from the store to an upstream.

use std::{collections::BTreeSet, num::NonZeroU64, time::Duration};

use throughline_context::TraceId;
use throughline_forward::{Forwarder, Sampling, SamplingRule, SinkState, spawn};
use throughline_otlp::{KeyValue, Span, Status, StatusCode};
use throughline_store::{SpanStore as _, Store};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, KEY, TIMEOUT, config, numbers, sink, span, span_cursor, until, until_idle, until_logs};

/// Returns a rule that drops all traces that are neither failed nor slow.
fn strict(quiet: Duration) -> SamplingRule {
    SamplingRule::one_in(NonZeroU64::MAX).with_quiet(quiet)
}

const SOON: Duration = Duration::from_millis(20);

fn sampled(bench: &Bench, upstream: &FakeHoneycomb, rule: SamplingRule) -> Forwarder {
    let mut sink = sink(upstream.addr());
    let sinks = vec![sink.name.clone()];
    sink.sampling = Some(Sampling::start(bench.store.clone(), bench.outbox(), rule, sinks));
    spawn(bench.sources(), sink, config()).unwrap()
}

/// Returns a failed span. Each trace has ten spans, and the first of them has the number `10 * trace`.
fn failed(number: u64) -> Span {
    let mut span = span(number);
    span.status = Status { code: StatusCode::Error, message: String::new() };
    span
}

fn slow(number: u64, lasted: Duration, route: &str) -> Span {
    let mut span = span(number);
    span.end_ns = span.start_ns + u64::try_from(lasted.as_nanos()).unwrap();
    span.attributes.push(KeyValue::new("http.route", route));
    span
}

#[tokio::test]
async fn failed_and_slow_traces_are_forwarded_whole() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..50).await;
    let ms = Duration::from_millis;
    let late = vec![failed(1500), slow(2500, ms(60), "/fast"), slow(3500, ms(60), "/other"), span(4500)];
    // They belong to the traces 1 to 4.
    let late = late.into_iter().zip(1..).map(|(mut one, trace)| {
        one.trace_id = span(trace * 10).trace_id;
        one
    });
    bench.store.append(late.collect()).await.unwrap();
    bench.append_logs(0..7).await;
    let rule = strict(SOON).with_slow_route("/fast", ms(50));
    let forwarder = sampled(&bench, &upstream, rule);
    let status = until_idle(&forwarder, |status| status.sampled_out == 32).await;
    assert_eq!((status.delivered, status.waiting, status.rejected), (22, 0, 0));
    let expected: Vec<_> = (10..30).chain([1500, 2500]).collect();
    assert_eq!(numbers(&upstream.spans()), expected, "whole traces, in order");
    assert!(upstream.spans().iter().all(|span| span.attribute("SampleRate").is_none()));
    until_logs(&forwarder, |status| status.delivered == 7).await;
    let counts = bench.store.counts().await.unwrap();
    assert_eq!((counts.spans, counts.traces), (54, 5), "stored spans do not change");
}

#[tokio::test]
async fn other_traces_are_sampled_and_have_the_sample_rate() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..2000).await;
    let rule = SamplingRule::one_in(NonZeroU64::new(4).unwrap()).with_quiet(SOON);
    let forwarder = sampled(&bench, &upstream, rule.clone());
    let first = until_idle(&forwarder, |status| status.delivered + status.sampled_out == 2000).await;
    let spans = upstream.spans();
    assert!((300..700).contains(&spans.len()), "{} of 2000 at one in 4", spans.len());
    assert!(spans.iter().all(|span| span.attribute("SampleRate") == Some(&4.into())));
    let traces = |spans: &[Span]| spans.iter().map(|span| span.trace_id).collect::<BTreeSet<TraceId>>();
    assert_eq!(traces(&spans).len() * 10, spans.len(), "traces are whole");

    // Another machine makes the same choice.
    let (other, elsewhere) = (FakeHoneycomb::start(KEY).await.unwrap(), Bench::new());
    elsewhere.append(0..2000).await;
    let forwarder = sampled(&elsewhere, &other, rule);
    let second = until_idle(&forwarder, |status| status.delivered + status.sampled_out == 2000).await;
    assert_eq!((traces(&other.spans()), second.delivered), (traces(&spans), first.delivered));
}

#[tokio::test]
async fn a_trace_is_decided_when_it_is_quiet() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let forwarder = sampled(&bench, &upstream, strict(Duration::from_secs(2)));
    bench.append(0..5).await;
    let status = until(&forwarder, |status| status.state == SinkState::Sampling).await;
    assert_eq!((status.waiting, status.oldest_ns), (5, Some(span(0).end_ns)));
    // The last span has the error that decides.
    bench.store.append(vec![failed(5)]).await.unwrap();
    upstream.wait_for(6, TIMEOUT).await.unwrap();
    assert_eq!(numbers(&upstream.spans()), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_trace_that_keeps_growing_is_decided_after_the_longest_time() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    let rule = strict(Duration::from_secs(3600)).with_longest(SOON);
    bench.append(0..5).await;
    let forwarder = sampled(&bench, &upstream, rule);
    until_idle(&forwarder, |status| status.sampled_out == 5).await;
}

#[tokio::test]
async fn late_spans_follow_the_decision_on_their_trace_across_restarts() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let mut bench = Bench::new();
    bench.append(0..5).await;
    bench.store.append(vec![failed(10), span(11)]).await.unwrap();
    let mut forwarder = sampled(&bench, &upstream, strict(SOON));
    until_idle(&forwarder, |status| (status.delivered, status.sampled_out) == (2, 5)).await;
    for round in 0..2 {
        // An error in the dropped trace, and an ordinary span in the forwarded one.
        bench.store.append(vec![failed(5 + round), span(12 + round)]).await.unwrap();
        let before = if round == 0 { (2, 5) } else { (0, 0) };
        until_idle(&forwarder, |status| (status.delivered, status.sampled_out) == (before.0 + 1, before.1 + 1)).await;
        forwarder.shutdown().await;
        let Bench { dir, store } = bench;
        store.close().await;
        drop(store);
        bench = Bench { store: Store::open(dir.path()).unwrap(), dir };
        forwarder = sampled(&bench, &upstream, strict(SOON));
    }
    assert_eq!(numbers(&upstream.spans()), [10, 11, 12, 13]);
}

#[tokio::test]
async fn a_restart_between_decision_and_delivery_keeps_the_decision() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    upstream.set_response(Behaviour::Status(503, None));
    let bench = Bench::new();
    bench.append(0..5).await;
    bench.store.append(vec![failed(10), span(11)]).await.unwrap();
    let forwarder = sampled(&bench, &upstream, strict(SOON));
    until(&forwarder, |status| status.state == SinkState::Backoff).await;
    forwarder.shutdown().await;
    // If the trace were not decided already, this error would change the decision.
    bench.store.append(vec![failed(5)]).await.unwrap();
    upstream.set_response(Behaviour::Ok);
    let forwarder = sampled(&bench, &upstream, strict(SOON));
    until_idle(&forwarder, |status| status.delivered == 2 && status.sampled_out >= 1).await;
    assert_eq!(numbers(&upstream.spans()), [10, 11]);
}

#[tokio::test]
async fn a_trace_whose_decision_was_deleted_is_decided_again() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..5).await;
    let rule = strict(SOON).with_remember(Duration::ZERO);
    let forwarder = sampled(&bench, &upstream, rule);
    until_idle(&forwarder, |status| status.sampled_out == 5).await;
    bench.outbox().forget_decisions(u64::MAX).await.unwrap();
    bench.store.append(vec![failed(5)]).await.unwrap();
    until_idle(&forwarder, |status| status.delivered == 1).await;
    assert_eq!(numbers(&upstream.spans()), [5]);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_undecided_traces() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = Bench::new();
    bench.append(0..5).await;
    let forwarder = sampled(&bench, &upstream, strict(Duration::from_secs(3600)));
    until(&forwarder, |status| status.state == SinkState::Sampling).await;
    tokio::time::timeout(TIMEOUT, forwarder.shutdown()).await.unwrap();
    assert_eq!(bench.store.cursor(&span_cursor()).await.unwrap(), 0, "they are decided after the next start");
}
