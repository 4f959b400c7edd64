//! Upstreams that are slow, broken or of bad manners: nothing is lost, and memory is bounded.
//!
//! `THROUGHLINE_E2E_SOAK` makes it longer; `cargo xtask soak` sets it, and prints the figures.

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
const TIMEOUT_MS: &str = "250";

fn bench(upstream: &FakeHoneycomb) -> Bench {
    let endpoint = upstream.endpoint();
    let env = [
        ("HONEYCOMB_API_KEY", KEY),
        ("HONEYCOMB_API_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT_MS),
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
