//! Processor time and allocations of requests that are handled without a socket.

use std::{hint::black_box, net::SocketAddr};

use anyhow::{Result, ensure};
use axum::{Router, body::Body, extract::ConnectInfo};
use cpu_time::{ProcessTime, ThreadTime};
use http_body_util::BodyExt;
use throughline_bench_server::subject::Subject;
use tokio::runtime::{Builder, Runtime};
use tower::Service;

use crate::{set_up::SetUp, stats::Spread};

/// Requests between two flushes, so that no queue overflows and the exporter's work is part of what is measured.
const BATCH: usize = 512;

/// What a request costs.
pub(crate) struct Cost {
    /// Microseconds of processor time of the thread that handles the request, without the bare router's, round by round.
    pub(crate) added_us: Spread,
    /// The same of all threads: with the encoding of what the layer says.
    pub(crate) exported_us: Spread,
    /// Allocations on the request's own thread, without the bare router's.
    pub(crate) added_allocations: f64,
}

pub(crate) fn measure(set_up: &SetUp, subjects: &[Subject], rounds: usize, requests: usize) -> Result<Vec<Cost>> {
    let runtime = Builder::new_current_thread().build()?;
    let mut apps: Vec<(Subject, Router)> = subjects.iter().map(|subject| (*subject, set_up.app(*subject))).collect();
    // Instruments, routes and buffers are made once.
    let mut allocations = Vec::new();
    for (subject, app) in &mut apps {
        run(set_up, &runtime, app, *subject, 4 * BATCH)?;
        let counted = allocation_counter::measure(|| runtime.block_on(serve(app, BATCH)));
        allocations.push(counted.count_total as f64 / BATCH as f64);
        set_up.flush()?;
    }
    let mut all = vec![Vec::new(); apps.len()];
    for round in 0..rounds {
        eprintln!("processor time: round {} of {rounds}", round + 1);
        // Each round begins with another one, so that none is always after the same.
        for index in 0..apps.len() {
            let index = (index + round) % apps.len();
            if let (Some((subject, app)), Some(measured)) = (apps.get_mut(index), all.get_mut(index)) {
                measured.push(run(set_up, &runtime, app, *subject, requests)?);
            }
        }
    }
    let bare = all.first().cloned().unwrap_or_default();
    let bare_allocations = allocations.first().copied().unwrap_or_default();
    let cost = |(measured, allocations): (Vec<Measured>, f64)| {
        let added = |of: fn(&Measured) -> f64| {
            Spread::of(measured.iter().zip(&bare).map(|(measured, bare)| of(measured) - of(bare)).collect())
        };
        Cost {
            added_us: added(|measured| measured.thread_us),
            exported_us: added(|measured| measured.process_us),
            added_allocations: allocations - bare_allocations,
        }
    };
    Ok(all.into_iter().zip(allocations).map(cost).collect())
}

/// Microseconds of processor time for one request.
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
    ensure!(spans == expected, "{} made {spans} spans for {handled} requests", subject.name());
    let each_us = |time: std::time::Duration| time.as_secs_f64() * 1e6 / handled as f64;
    Ok(Measured { thread_us: each_us(thread), process_us: each_us(process) })
}

async fn serve(app: &mut Router, requests: usize) {
    for number in 0..requests {
        let response = match app.call(request(number)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        assert!(response.status().is_success(), "the application fails");
        black_box(response.into_body().collect().await.ok());
    }
}

/// As a page sends it that is traced.
fn request(number: usize) -> axum::http::Request<Body> {
    let mut request = axum::http::Request::new(Body::empty());
    // By a tracer of level 2 of the specification, as ours is, and by one of level 1.
    let (uri, parent) = match number % 2 {
        0 => ("/api/users/7?page=2", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
        _ => ("/api/users/8", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    };
    *request.uri_mut() = axum::http::Uri::from_static(uri);
    for (name, value) in [
        ("host", "app.example:8080"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("traceparent", parent),
    ] {
        request.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
    }
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 54_321))));
    request
}
