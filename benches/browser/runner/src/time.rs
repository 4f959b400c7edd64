//! The main thread's CPU time for 1,000 requests, traced and untraced.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use throughline_e2e::Browser;

use crate::{
    Outcome,
    page::{self, DASH0, OTEL, OTHERS, OURS, UNTRACED, Variant},
    stats::{median, quantile},
    stub::Stub,
};

/// The number of requests before the measurement, in which the engine compiles its code.
const WARM_UP: u64 = 200;
/// The timeout for telemetry to arrive.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The time without a new span after which no more are expected: the longest timer of a tracer is 5 s.
const QUIET: Duration = Duration::from_secs(6);
/// The target for our time as a share of that of OpenTelemetry JS.
const MAX_SHARE_OF_OTEL: f64 = 1.0 / 3.0;

/// One measurement.
#[derive(Clone, Copy)]
struct Sample {
    task_ms: f64,
    script_ms: f64,
    /// The number of requests whose spans arrived.
    arrived: u64,
}

/// All measurements of one tracer.
struct Series {
    variant: Variant,
    samples: Vec<Sample>,
}

impl Series {
    fn values(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(of).collect()
    }

    /// Returns the difference of each measurement to that of `base` in the same round.
    fn added(&self, base: &Self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().zip(&base.samples).map(|(with, without)| of(with) - of(without)).collect()
    }
}

/// Measures all tracers alternately, `rounds` times.
pub(crate) async fn measure(stub: &Stub, rounds: usize, requests: u64, only: &[String]) -> Result<Outcome> {
    ensure!(rounds > 0 && requests > 0, "--rounds and --requests must be at least 1");
    let variants = [UNTRACED, OURS, OTEL, DASH0].into_iter().chain(OTHERS);
    let mut all: Vec<Series> = variants
        .filter(|variant| {
            only.is_empty() || variant.name == UNTRACED.name || only.iter().any(|name| name == variant.name)
        })
        .map(|variant| Series { variant, samples: Vec::new() })
        .collect();
    let browser = page::browser().await?;
    for round in 0..rounds {
        // Each round starts with another tracer, so that none always follows the same one.
        let count = all.len();
        for index in 0..count {
            let series = &mut all[(index + round) % count];
            let sample = sample(&browser, stub, series.variant, requests).await?;
            eprintln!(
                "round {}, {}: {:.1} ms, {} of {requests} arrived",
                round + 1,
                series.variant.name,
                sample.task_ms,
                sample.arrived
            );
            series.samples.push(sample);
        }
    }
    browser.quit().await?;
    report(&all, rounds, requests)
}

async fn sample(browser: &Browser, stub: &Stub, variant: Variant, requests: u64) -> Result<Sample> {
    stub.forget();
    page::open(browser, stub, variant).await?;
    let is_traced = variant.name != UNTRACED.name;
    page::call(browser, &format!("fetches(0, {WARM_UP})")).await?;
    if is_traced {
        arrival(stub, 0, WARM_UP).await;
    }
    page::collect_garbage(browser).await?;
    let before = page::metrics(browser).await?;
    page::call(browser, &format!("fetches({WARM_UP}, {requests})")).await?;
    if is_traced {
        arrival(stub, WARM_UP, requests).await;
    }
    let after = page::metrics(browser).await?;
    Ok(Sample {
        task_ms: after.task_ms - before.task_ms,
        script_ms: after.script_ms - before.script_ms,
        arrived: stub.look(|received| received.items_within(WARM_UP, requests)),
    })
}

/// Waits until the spans of the requests `from..from + count` have arrived, or no more arrive.
async fn arrival(stub: &Stub, from: u64, count: u64) {
    let end = Instant::now() + TIMEOUT;
    let mut arrived = stub.look(|received| received.items_within(from, count));
    while arrived < count && Instant::now() < end {
        stub.until(QUIET, |received| received.items_within(from, count) > arrived).await;
        let now = stub.look(|received| received.items_within(from, count));
        if now == arrived {
            return;
        }
        arrived = now;
    }
}

fn report(all: &[Series], rounds: usize, requests: u64) -> Result<Outcome> {
    let find = |variant: Variant| all.iter().find(|series| series.variant.name == variant.name);
    let base = &all[0];
    let added = |series: &Series| median(&series.added(base, |sample| sample.task_ms));
    let otel = find(OTEL).map(added);
    let mut text = format!(
        "## Main-thread time\n\n{requests} requests, 8 at a time, until their spans have arrived: CPU time of the main thread, \
        medians of {rounds} interleaved rounds. Added is the difference to the untraced page of the same round, with its \
        quartiles. Script is Chromium's metric, which excludes promise reactions. Dash0 sends at most 128 spans in 10 s; \
        the time to send the others is not included.\n\n\
        | tracer | tasks, ms | script, ms | added, ms | quartiles | µs per request | of OpenTelemetry JS | arrived |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    let mut sorted: Vec<&Series> = all.iter().collect();
    sorted.sort_by(|a, b| added(a).total_cmp(&added(b)));
    for series in sorted {
        let task_ms = median(&series.values(|sample| sample.task_ms));
        let script_ms = median(&series.values(|sample| sample.script_ms));
        write!(text, "| {} | {task_ms:.0} | {script_ms:.0} |", series.variant.title)?;
        if series.variant.name == UNTRACED.name {
            writeln!(text, " | | | | |")?;
            continue;
        }
        let all_added = series.added(base, |sample| sample.task_ms);
        let added = added(series);
        writeln!(
            text,
            " {added:.0} | [{:.0}, {:.0}] | {:.0} | {} | {:.0} |",
            quantile(&all_added, 0.25),
            quantile(&all_added, 0.75),
            added * 1e3 / requests as f64,
            otel.map(|otel| format!("{:.2} ×", added / otel)).unwrap_or_default(),
            median(&series.values(|sample| sample.arrived as f64)),
        )?;
    }
    let mut met = true;
    let ours = find(OURS).map(added);
    if let (Some(ours), Some(otel)) = (ours, otel) {
        let ratio = ours / otel;
        met &= ratio <= MAX_SHARE_OF_OTEL;
        writeln!(text, "\nOurs is {ratio:.2} of OpenTelemetry JS; the target is at most {MAX_SHARE_OF_OTEL:.2}.")?;
    }
    if let (Some(ours), Some(dash0)) = (ours, find(DASH0).map(added)) {
        let ratio = ours / dash0;
        met &= ratio < 1.0;
        writeln!(text, "\nOurs is {ratio:.2} of Dash0; the target is below 1.")?;
    }
    if let Some(ours) = find(OURS) {
        let whole = ours.samples.iter().all(|sample| sample.arrived == requests);
        met &= whole;
        if !whole {
            writeln!(text, "\nSome spans of ours did not arrive.")?;
        }
    }
    Ok(Outcome { text, met })
}
