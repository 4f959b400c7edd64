//! Slow and broken upstreams do not affect the application.
//!
//! `THROUGHLINE_E2E_SOAK` makes the test longer; `cargo xtask soak` sets it, and prints the figures.

use std::time::{Duration, Instant};

use throughline_inspector_api::SinkList;
use throughline_otlp::{KeyValue, Span};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, Start as _, eventually, new_trace_id, span};

const KEY: &str = "hcaik_r0ugh";
const BATCH: usize = 500;

fn is_soak() -> bool {
    std::env::var_os("THROUGHLINE_E2E_SOAK").is_some()
}

/// Responds after an hour. The timeout of the server is only a fraction of a second here, so that the test is short.
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

/// Returns spans of one trace with twelve attributes each.
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

/// Measures response times without an upstream, and with a healthy, a slow and a broken one. The requests alternate, so that all have
/// the same conditions. The medians are printed but not asserted, because they depend on the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_misbehaving_upstream_does_not_slow_the_application_down() {
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
                bench.store(&batch(round)).await;
            }
        }
    }
    let medians = took.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    for (case, median) in
        ["without an upstream", "with a healthy one", "with a slow one", "with a broken one"].iter().zip(medians)
    {
        let change = (median.as_secs_f64() / medians[1].as_secs_f64() - 1.0) * 100.0;
        println!("GET /api/activities/home {case}: median {median:.1?} of {rounds}, {change:+.1} % to a healthy one");
    }
    for (bench, upstream) in [(&benches[2], &slow), (&benches[3], &broken)] {
        eventually("the sink reports an error", async || {
            let list: SinkList = bench.read("/api/traces/sinks").await;
            list.sinks[0].last_error.is_some().then_some(())
        })
        .await;
        assert!(upstream.spans().is_empty(), "the upstream accepted spans");
    }
}
