//! CPU time of requests that are handled without a socket.

use anyhow::{Context, Result, ensure};
use axum::Router;
use cpu_time::{ProcessTime, ThreadTime};
use throughline_bench_server::{
    requests::{BATCH, serve},
    set_up::SetUp,
    subject::Subject,
};
use tokio::runtime::{Builder, Runtime};

use crate::stats::Spread;

/// The cost of a request.
pub(crate) struct Cost {
    /// CPU time in microseconds of the thread that handles the request, less that of the bare router in the same round.
    pub(crate) added_us: Spread,
    /// The CPU time of all threads, which includes the export of the layer's spans.
    pub(crate) exported_us: Spread,
}

pub(crate) fn measure(set_up: &SetUp, subjects: &[Subject], rounds: usize, requests: usize) -> Result<Vec<Cost>> {
    let runtime = Builder::new_current_thread().build()?;
    let mut apps: Vec<(Subject, Router)> = subjects.iter().map(|subject| (*subject, set_up.app(*subject))).collect();
    // Instruments, routes and buffers are created once.
    for (subject, app) in &mut apps {
        run(set_up, &runtime, app, *subject, 4 * BATCH)?;
    }
    let mut all = vec![Vec::new(); apps.len()];
    for round in 0..rounds {
        eprintln!("CPU time: round {} of {rounds}", round + 1);
        // Each round starts with another layer, so that none always follows the same one.
        for index in 0..apps.len() {
            let index = (index + round) % apps.len();
            if let (Some((subject, app)), Some(measured)) = (apps.get_mut(index), all.get_mut(index)) {
                measured.push(run(set_up, &runtime, app, *subject, requests)?);
            }
        }
    }
    let bare = all.first().context("there are no layers to measure")?.clone();
    let cost = |measured: Vec<Measured>| {
        let added = |of: fn(&Measured) -> f64| {
            Spread::of(measured.iter().zip(&bare).map(|(measured, bare)| of(measured) - of(bare)).collect())
        };
        Cost { added_us: added(|measured| measured.thread_us), exported_us: added(|measured| measured.process_us) }
    };
    Ok(all.into_iter().map(cost).collect())
}

/// CPU time in microseconds for one request.
#[derive(Clone, Copy)]
struct Measured {
    thread_us: f64,
    process_us: f64,
}

/// Handles `requests` and exports their spans.
fn run(set_up: &SetUp, runtime: &Runtime, app: &mut Router, subject: Subject, requests: usize) -> Result<Measured> {
    let before = set_up.flush()?;
    let (thread, process) = (ThreadTime::now(), ProcessTime::now());
    for _ in 0..requests / BATCH {
        runtime.block_on(serve(app, BATCH));
        set_up.flush()?;
    }
    let (thread, process) = (thread.elapsed(), process.elapsed());
    let spans = set_up.flush()? - before;
    let handled = requests / BATCH * BATCH;
    let expected = if subject == Subject::Bare { 0 } else { handled as u64 };
    ensure!(spans == expected, "{} created {spans} spans for {handled} requests", subject.name());
    let each_us = |time: std::time::Duration| time.as_secs_f64() * 1e6 / handled as f64;
    Ok(Measured { thread_us: each_us(thread), process_us: each_us(process) })
}
