//! Slow, failing and misbehaving upstreams: no record is lost, and memory is bounded.
//!
//! `THROUGHLINE_E2E_SOAK` makes the test longer; `cargo xtask soak` sets it and prints the results.

use std::time::{Duration, Instant};

use throughline_inspector_api::SinkList;
use throughline_otlp::{KeyValue, Span};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, DEADLINE, Start as _, eventually, new_trace_id, span};

const KEY: &str = "hcaik_r0ugh";
const BATCH: usize = 500;
/// The maximum resident memory of the server, in bytes.
const MAX_MEMORY_BYTES: u64 = 300 << 20;

fn is_soak() -> bool {
    std::env::var_os("THROUGHLINE_E2E_SOAK").is_some()
}

/// An upstream that responds after an hour, far above the timeout of 250 ms.
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

/// Returns the spans of one trace, with twelve attributes each.
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
async fn no_record_is_lost_and_memory_is_bounded_with_misbehaving_upstreams() {
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
        let duration = started.elapsed();
        if behaviour == SLOW {
            // The upstream does not respond, so that only the server's timeout shows in its state.
            eventually("a timeout of the request", async || {
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
        println!(
            "{behaviour:?}: {} spans accepted in {duration:.1?}, {sent} upstream, peak {peak_mb:?} MB",
            batches * BATCH
        );
        assert!(peak.is_none_or(|peak| peak < MAX_MEMORY_BYTES), "{behaviour:?}: {peak_mb:?} MB");
    }
}
