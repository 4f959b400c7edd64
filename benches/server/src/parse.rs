//! The time to parse a `traceparent`.

use std::hint::black_box;

use cpu_time::ThreadTime;
use throughline_context::TraceParent;

use crate::stats::Spread;

const ROUNDS: usize = 31;
const READS: u32 = 100_000;

/// Returns the CPU time in nanoseconds, the median of several rounds.
pub(crate) fn traceparent_ns() -> f64 {
    let header = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".as_slice();
    let round = |_| {
        let start = ThreadTime::now();
        for _ in 0..READS {
            let _ = black_box(TraceParent::from_headers([black_box(header)]));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
    };
    Spread::of((0..ROUNDS).map(round).collect()).median
}
