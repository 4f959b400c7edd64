//! Upstreams that are slow, broken or of bad manners: nothing is lost, memory is bounded, and the application does not notice.
//!
//! `THROUGHLINE_E2E_SOAK` makes both longer; `cargo xtask soak` sets it, and prints the figures.

use std::time::{Duration, Instant};

use throughline_inspector_api::SinkList;
use throughline_otlp::{KeyValue, Span};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, DEADLINE, Start as _, eventually, new_trace_id, span};

const KEY: &str = "hcaik_r0ugh";
const BATCH: usize = 500;
/// What the server may have resident at most, in bytes.
const MOST_MEMORY: u64 = 300 << 20;

fn is_soak() -> bool {
    std::env::var_os("THROUGHLINE_E2E_SOAK").is_some()
}

/// Answers after an hour; the server's patience is a fraction of a second here, as it is a minute towards one that takes 30 s.
const SLOW: Behaviour = Behaviour::Slow(Duration::from_secs(3600));
const PATIENCE_MS: &str = "250";

fn bench(upstream: &FakeHoneycomb) -> Bench {
    let endpoint = upstream.endpoint();
    let env = [
        ("HONEYCOMB_API_KEY", KEY),
        ("HONEYCOMB_API_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", PATIENCE_MS),
        ("THROUGHLINE_LOG", "error"),
    ];
    Bench::start_with(&[], &env)
}

/// Spans of one trace with twelve attributes each.
fn batch(number: usize) -> Vec<Span> {
    let trace_id = new_trace_id();
    let attribute = |n: i64| KeyValue::new(format!("attribute.{n}"), format!("value {n} of batch {number}"));
    let of = |n: usize| {
        let mut span = span(&trace_id, &format!("span {n}"));
        span.attributes = (0..12).map(attribute).collect();
        span
    };
    (0..BATCH).map(of).collect()
}

async fn send(bench: &Bench, batches: usize) -> usize {
    for number in 0..batches {
        bench.store(&batch(number)).await;
    }
    batches * BATCH
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_upstream_does_nothing_is_lost_and_memory_is_bounded() {
    let batches = if is_soak() { 50 } else { 4 };
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let bench = bench(&upstream);
    let mut sent = 0;
    for behaviour in
        [SLOW, Behaviour::Status(429, Some(1)), Behaviour::Status(500, None), Behaviour::Garbage, Behaviour::CutMidway]
    {
        upstream.set_response(behaviour.clone());
        let before = upstream.requests().len();
        let started = Instant::now();
        sent += send(&bench, batches).await;
        let took = started.elapsed();
        if behaviour == SLOW {
            // It never answers, so what tells is the server's own patience.
            eventually("it gives up on an answer", async || {
                let list: SinkList = bench.read("/api/traces/sinks").await;
                list.sinks.iter().any(|sink| sink.last_error.is_some()).then_some(())
            })
            .await;
        } else {
            upstream.wait_for_requests(before + 1, DEADLINE).await.unwrap();
        }
        upstream.set_response(Behaviour::Ok);
        upstream.wait_for(sent, DEADLINE * 3).await.unwrap();
        let peak = bench.server().peak_memory_bytes();
        let peak_mb = peak.map(|bytes| bytes >> 20);
        println!("{behaviour:?}: {} spans taken in {took:.1?}, {sent} upstream, peak {peak_mb:?} MB", batches * BATCH);
        assert!(peak.is_none_or(|peak| peak < MOST_MEMORY), "{behaviour:?}: {peak_mb:?} MB");
    }
}

/// The application's answers with no upstream, a good one, and one that is slow and then broken: requests by turns, so that all have
/// the same weather. The medians are a figure, not a promise that every machine keeps.
#[tokio::test(flavor = "multi_thread")]
async fn the_application_answers_as_fast_with_a_bad_upstream() {
    let rounds = if is_soak() { 3000 } else { 30 };
    let (good, slow, broken) = (
        FakeHoneycomb::start(KEY).await.unwrap(),
        FakeHoneycomb::start(KEY).await.unwrap(),
        FakeHoneycomb::start(KEY).await.unwrap(),
    );
    slow.set_response(SLOW);
    broken.set_response(Behaviour::Status(503, None));
    let benches = [Bench::start(), bench(&good), bench(&slow), bench(&broken)];
    let mut took: [Vec<Duration>; 4] = Default::default();
    for round in 0..rounds {
        for (bench, took) in benches.iter().zip(&mut took) {
            let started = Instant::now();
            let response = bench.get("/api/activities/home").send().await.unwrap();
            assert_eq!(response.status(), 200);
            response.bytes().await.unwrap();
            took.push(started.elapsed());
        }
        if round % 30 == 0 {
            // There is always something to deliver.
            for bench in &benches {
                send(bench, 1).await;
            }
        }
    }
    let medians = took.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    for (what, median) in
        ["without an upstream", "with a good one", "with a slow one", "with a broken one"].iter().zip(medians)
    {
        let change = (median.as_secs_f64() / medians[1].as_secs_f64() - 1.0) * 100.0;
        println!("GET /api/activities/home {what}: median {median:.1?} of {rounds}, {change:+.1} % against a good one");
    }
    for (bench, upstream) in [(&benches[2], &slow), (&benches[3], &broken)] {
        eventually("the upstream is bad", async || {
            let list: SinkList = bench.read("/api/traces/sinks").await;
            list.sinks[0].last_error.is_some().then_some(())
        })
        .await;
        assert!(upstream.spans().is_empty(), "it took something");
    }
}
