//! Prints the time to parse one valid `traceparent` in nanoseconds: `{"traceparent_parse_ns": 12.3}`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent};

/// The number of values, which differ in their digits, so that branch predictors cannot learn them: 220 KB, larger than
/// an L1 cache.
const VALUES: usize = 4096;
/// The number of measurements. The fastest one counts, because other load on the machine only adds time.
const MEASUREMENTS: usize = 2000;
const WARM_UP: Duration = Duration::from_millis(200);

fn main() {
    let values = values();
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        parse_all(&values);
    }
    let fastest = (0..MEASUREMENTS).map(|_| measure(&values)).fold(f64::INFINITY, f64::min);
    let rounded = (fastest * 10.0).round() / 10.0;
    println!("{}", serde_json::json!({ "traceparent_parse_ns": rounded }));
}

/// Reads the clock once for all values, because reading it takes longer than parsing a value.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn measure(values: &[[u8; 55]]) -> f64 {
    let start = Instant::now();
    parse_all(values);
    start.elapsed().as_nanos() as f64 / values.len() as f64
}

fn parse_all(values: &[[u8; 55]]) {
    for value in values {
        // The function that a server uses, which accepts the values of all headers of this name.
        black_box(TraceParent::from_headers([black_box(value.as_slice())]));
    }
}

fn values() -> Vec<[u8; 55]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64: the same values in each run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut values = Vec::with_capacity(VALUES);
    while values.len() < VALUES {
        let trace_id = TraceId::from_bytes((u128::from(next()) << 64 | u128::from(next())).to_be_bytes());
        let parent_id = SpanId::from_bytes(next().to_be_bytes());
        if let (Some(trace_id), Some(parent_id)) = (trace_id, parent_id) {
            values.push(TraceParent::new(trace_id, parent_id, TraceFlags::SAMPLED | TraceFlags::RANDOM).to_bytes());
        }
    }
    values
}
