//! Prints how long it takes to read one valid `traceparent`, in nanoseconds: `{"traceparent_parse_ns": 12.3}`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent};

/// Values of equal shape with different digits, so that nothing is learnt by heart: 220 KB, more than a first-level cache has.
const VALUES: usize = 4096;
/// Until there are so many measurements. The fastest counts: whatever else the machine does only ever adds.
const MEASUREMENTS: usize = 2000;
const WARM_UP: Duration = Duration::from_millis(200);

fn main() {
    let values = values();
    let begun = Instant::now();
    while begun.elapsed() < WARM_UP {
        read_all(&values);
    }
    let fastest = (0..MEASUREMENTS).map(|_| measure(&values)).fold(f64::INFINITY, f64::min);
    let rounded = (fastest * 10.0).round() / 10.0;
    println!("{}", serde_json::json!({ "traceparent_parse_ns": rounded }));
}

/// One look at the clock for all values: a look takes longer than a value.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn measure(values: &[[u8; 55]]) -> f64 {
    let begun = Instant::now();
    read_all(values);
    begun.elapsed().as_nanos() as f64 / values.len() as f64
}

fn read_all(values: &[[u8; 55]]) {
    for value in values {
        // As a server reads it: from the values of all headers of this name.
        black_box(TraceParent::from_headers([black_box(value.as_slice())]));
    }
}

fn values() -> Vec<[u8; 55]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64: the same values at each run.
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
