//! The duration of reads: one trace by id, and the list of the newest traces.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use throughline_context::TraceId;
use throughline_store::{ListFilter, SpanStore as _, Store};

/// The number of reads of the list.
const LISTS: usize = 200;
/// The number of reads of traces.
const TRACES: usize = 5_000;

/// The durations of reads.
pub(crate) struct Reads {
    /// The time to open the store, without the server.
    pub(crate) open: Duration,
    pub(crate) traces: Vec<Duration>,
    pub(crate) lists: Vec<Duration>,
}

/// Reads from the store in `data`. No server may have it open.
pub(crate) fn measure(data: &Path, traces: &[TraceId]) -> Result<Reads> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let begin = Instant::now();
    let store = Store::open(data)?;
    let open = begin.elapsed();
    let reads = runtime.block_on(async {
        let mut reads = Reads { open, traces: Vec::new(), lists: Vec::new() };
        // Spread over all traces: the step has no common divisor with most lengths.
        for index in 0..TRACES {
            let trace_id = traces[index * 7_919 % traces.len()];
            let begin = Instant::now();
            let spans = store.trace(trace_id).await?;
            reads.traces.push(begin.elapsed());
            ensure!(!spans.is_empty(), "trace {trace_id} was stored, but is not found");
        }
        for _ in 0..LISTS {
            let begin = Instant::now();
            let list = store.list(ListFilter::default()).await?;
            reads.lists.push(begin.elapsed());
            ensure!(list.len() == 50, "the list has {} traces instead of 50", list.len());
        }
        Ok(reads)
    })?;
    runtime.block_on(store.close());
    Ok(reads)
}
