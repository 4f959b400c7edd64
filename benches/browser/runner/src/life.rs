//! The memory of a page that creates a large number of spans.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use throughline_e2e::Browser;

use crate::{
    Outcome,
    page::{self, OURS},
    stub::Stub,
};

/// The number of calls of the page; each is well below the driver's limit of a minute.
const STEPS: u64 = 20;
/// The steps after which memory is measured: at 10, 25, 50, 75 and 100 %.
const SAMPLED: [u64; 5] = [2, 5, 10, 15, 20];
/// The index of the sample that later ones are compared with.
const WARM: usize = 1;
/// The highest ratio to that sample that counts as flat.
const FLAT: f64 = 1.1;
/// The timeout for the created spans to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The state of the page at one moment.
struct Sample {
    made: u64,
    heap_bytes: u64,
    wasm_bytes: u64,
    arrived: u64,
    dropped: u64,
}

impl Sample {
    fn bytes(&self) -> u64 {
        self.heap_bytes + self.wasm_bytes
    }
}

/// Creates `spans` spans in one page, `requests` of them by requests.
pub(crate) async fn measure(stub: &Stub, spans: u64, requests: u64) -> Result<Outcome> {
    ensure!(spans >= STEPS && requests <= spans, "--spans must be at least {STEPS}, and --requests at most --spans");
    let browser = page::browser().await?;
    stub.forget();
    page::open(&browser, stub, OURS).await?;
    let (mut made, mut fetched) = (0, 0);
    let mut samples = Vec::new();
    for step in 1..=STEPS {
        let fetch = requests * step / STEPS - fetched;
        let all = spans * step / STEPS - made;
        page::call(&browser, &format!("live({fetched}, {all}, {fetch})")).await?;
        fetched += fetch;
        made += all;
        if SAMPLED.contains(&step) {
            let sample = sample(&browser, stub, made).await?;
            eprintln!(
                "{made} spans: {} KiB of heap, {} KiB of WASM, {} arrived",
                sample.heap_bytes / 1024,
                sample.wasm_bytes / 1024,
                sample.arrived
            );
            samples.push(sample);
        }
    }
    browser.quit().await?;
    report(&samples, requests, stub.look(|received| received.items_within(0, requests)))
}

async fn sample(browser: &Browser, stub: &Stub, made: u64) -> Result<Sample> {
    page::call(browser, "flush()").await?;
    let state = page::call(browser, "state()").await?;
    let dropped = state["dropped"].as_u64().or_else(|| state["dropped"].as_f64().map(|count| count as u64));
    let dropped = dropped.context("the tracer returned no number of dropped spans")?;
    // The page has other spans too.
    stub.until(TIMEOUT, |received| benchmark_spans(received) + dropped >= made).await;
    page::collect_garbage(browser).await?;
    let metrics = page::metrics(browser).await?;
    Ok(Sample {
        made,
        heap_bytes: metrics.heap_bytes,
        wasm_bytes: state["wasm_bytes"].as_u64().context("the page returned no size of the module's memory")?,
        arrived: stub.look(benchmark_spans),
        dropped,
    })
}

/// Returns the number of spans that the benchmark created.
fn benchmark_spans(received: &crate::stub::Received) -> u64 {
    received.names.get("bench life").copied().unwrap_or(0) + received.items.len() as u64
}

fn report(samples: &[Sample], requests: u64, fetched: u64) -> Result<Outcome> {
    const MIB: f64 = 1024.0 * 1024.0;
    let (Some(warm), Some(last)) = (samples.get(WARM), samples.last()) else {
        anyhow::bail!("too few samples: {}", samples.len());
    };
    let mut text = format!(
        "## Long life\n\n{} spans in one page, {requests} of them requests. Memory after a garbage collection.\n\n\
        | spans | heap, MiB | WASM, MiB | total | ratio to {} spans | arrived | dropped |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        last.made, warm.made
    );
    for sample in samples {
        writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} × | {} | {} |",
            sample.made,
            sample.heap_bytes as f64 / MIB,
            sample.wasm_bytes as f64 / MIB,
            sample.bytes() as f64 / MIB,
            sample.bytes() as f64 / warm.bytes() as f64,
            sample.arrived,
            sample.dropped
        )?;
    }
    let grown = |of: fn(&Sample) -> u64| of(last) as f64 / of(warm) as f64;
    // Each is compared separately: constant WASM memory must not hide a growing heap.
    let flat = grown(|sample| sample.heap_bytes) <= FLAT && grown(|sample| sample.wasm_bytes) <= FLAT;
    let accounted = last.arrived + last.dropped >= last.made;
    writeln!(
        text,
        "\nFlat after the first {} spans (at most {FLAT} ×, heap and module each): {}. All spans arrived or are counted as dropped: \
        {}; the spans of {fetched} of {requests} requests arrived.",
        warm.made,
        if flat { "yes" } else { "no" },
        if accounted { "yes" } else { "no" }
    )?;
    Ok(Outcome { text, met: flat && accounted })
}
