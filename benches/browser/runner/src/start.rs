//! The time until a tracer has started.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::{
    Outcome,
    page::{self, DASH0, Loaded, OTEL, OTHERS, OTHERS_AT_START, OURS, Variant},
    stats::{median, quantile},
    stub::Stub,
};

/// The target for the start of our tracer, in milliseconds.
const MAX_START_MS: f64 = 2.0;

/// Loads `loads` new pages for each tracer, alternately.
pub(crate) async fn measure(stub: &Stub, loads: usize) -> Result<Outcome> {
    ensure!(loads > 0, "--loads must be at least 1");
    let variants = [OURS, OTEL, DASH0].into_iter().chain(OTHERS).chain(OTHERS_AT_START);
    let mut all: Vec<(Variant, Vec<Loaded>)> = variants.map(|variant| (variant, Vec::new())).collect();
    let browser = page::browser().await?;
    for load in 0..loads {
        for (variant, samples) in &mut all {
            samples.push(page::open(&browser, stub, *variant).await?);
        }
        if (load + 1) % 10 == 0 {
            eprintln!("{} of {loads} loads", load + 1);
        }
    }
    browser.quit().await?;

    let mut text = format!(
        "## Start-up\n\nThe time of the call that starts the tracer, by `performance.now()`, in {loads} new pages each; loading is \
        the time from the request for the module until it has run.\n\n\
         | tracer | start, median ms | 95th | loading, median ms |\n| --- | ---: | ---: | ---: |\n"
    );
    let mut met = true;
    let mut rows: Vec<_> = all
        .iter()
        .map(|(variant, samples)| {
            let starts: Vec<_> = samples.iter().map(|sample| sample.start_ms).collect();
            let loads: Vec<_> = samples.iter().map(|sample| sample.load_ms).collect();
            (variant, median(&starts), quantile(&starts, 0.95), median(&loads))
        })
        .collect();
    rows.sort_by(|(_, a, ..), (_, b, ..)| a.total_cmp(b));
    for (variant, start_ms, late_ms, load_ms) in rows {
        writeln!(text, "| {} | {start_ms:.2} | {late_ms:.2} | {load_ms:.1} |", variant.title)?;
        if variant.name == OURS.name {
            met = start_ms <= MAX_START_MS;
        }
    }
    writeln!(text, "\nThe target for ours is at most {MAX_START_MS:.0} ms: {}.", if met { "met" } else { "missed" })?;
    Ok(Outcome { text, met })
}
