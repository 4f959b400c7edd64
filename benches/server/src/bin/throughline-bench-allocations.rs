//! Counts the allocations of each layer for a request, on the thread that handles it.
//!
//! It is a separate program, because the counting allocator is slow. Each output line has a layer's name, a tab, and its
//! allocations less those of the bare router.

use std::collections::HashMap;

use anyhow::{Context, Result};
use throughline_bench_server::{
    export::Batches,
    requests::{BATCH, serve},
    set_up::SetUp,
    subject::Subject,
};
use tokio::runtime::Builder;

fn main() -> Result<()> {
    let set_up = SetUp::new(Batches::Encoding)?;
    let runtime = Builder::new_current_thread().build()?;
    let mut counts = HashMap::new();
    for subject in Subject::ALL {
        let mut app = set_up.app(subject);
        // Instruments, routes and buffers are created once.
        runtime.block_on(serve(&mut app, 4 * BATCH));
        set_up.flush()?;
        let counted = allocation_counter::measure(|| runtime.block_on(serve(&mut app, BATCH)));
        set_up.flush()?;
        counts.insert(subject.name(), counted.count_total as f64 / BATCH as f64);
    }
    let bare = counts.get(Subject::Bare.name()).context("the bare router was not measured")?;
    for subject in Subject::ALL {
        let name = subject.name();
        println!("{name}\t{}", counts.get(name).context("a layer was not measured")? - bare);
    }
    Ok(())
}
