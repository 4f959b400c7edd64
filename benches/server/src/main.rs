//! Measures the cost of the server layer and of others. `cargo xtask bench server` builds and runs it.
//!
//! Standard output is a section of Markdown; progress is written to standard error.

mod in_process;
mod loopback;
mod parse;
mod stats;

use std::{
    collections::HashMap,
    env::{self, consts::EXE_SUFFIX},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use throughline_bench_server::{export::Batches, set_up::SetUp, subject::Subject};

use crate::{
    in_process::Cost,
    loopback::{Rate, Target},
};

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// Export spans with the batch processor of the SDK, or encode them when they end
    #[arg(long, value_name = "sdk|encoding")]
    batches: Batches,
    /// Measurements of each layer's CPU time: a large number of short ones, because the speed of a machine changes over
    /// time, and all layers must be measured under the same conditions
    #[arg(long, default_value_t = 120)]
    rounds: usize,
    /// Requests in each measurement of CPU time
    #[arg(long, default_value_t = 2_560)]
    requests: usize,
    /// Measurements of each layer's requests per second
    #[arg(long, default_value_t = 41)]
    loopback_rounds: usize,
    /// Duration of each measurement of requests per second, in milliseconds
    #[arg(long, default_value_t = 150)]
    loopback_ms: u64,
    /// Time to parse a `traceparent` in nanoseconds, if it has already been measured
    #[arg(long)]
    parse_ns: Option<f64>,
    /// Measure only this layer and the bare router, by its name in the table; can be repeated
    #[arg(long)]
    only: Vec<String>,
}

/// The exit code if all measurements succeed but a target is missed.
const MISSED: u8 = 2;

/// The CPU time that our layer may add to a request, in microseconds.
const TARGET_ADDED_US: f64 = 10.0;
/// The required share of the bare router's requests per second with the handler of an application. With an empty
/// handler, a bare request takes about 16 µs of CPU time including the client, and 10 % of that is less than the cost
/// of any span.
const TARGET_RATE: f64 = 0.9;
/// The target for parsing a `traceparent`, in nanoseconds.
const TARGET_PARSE_NS: f64 = 30.0;

/// The measurements of one layer.
struct Row {
    subject: Subject,
    cost: Cost,
    /// Allocations for a request on the thread that handles it, less those of the bare router.
    allocations: f64,
    rate: Rate,
    feed_rate: Rate,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let allocations = allocations()?;
    let set_up = SetUp::new(cli.batches)?;
    let is_wanted = |subject: &Subject| {
        *subject == Subject::Bare || cli.only.is_empty() || cli.only.iter().any(|name| name == subject.name())
    };
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(is_wanted).collect();
    let costs = in_process::measure(&set_up, &subjects, cli.rounds, cli.requests)?;
    let rates = |target| loopback::measure(&set_up, &subjects, target, cli.loopback_rounds, cli.loopback_ms);
    let (empty, feed) = (rates(Target::Numbers)?, rates(Target::Feed)?);
    let parse_ns = cli.parse_ns.unwrap_or_else(parse::traceparent_ns);
    let rows: Vec<Row> = subjects
        .iter()
        .zip(costs)
        .zip(empty.into_iter().zip(feed))
        .map(|((subject, cost), (rate, feed_rate))| Row {
            subject: *subject,
            cost,
            allocations: allocations.get(subject.name()).copied().unwrap_or(f64::NAN),
            rate,
            feed_rate,
        })
        .collect();
    print(&rows, cli.batches, parse_ns, set_up.bytes_per_span());
    let missed = missed(&rows, parse_ns);
    for missed in &missed {
        println!("- missed: {missed}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

/// Runs the program that counts allocations, which is in the same folder.
fn allocations() -> Result<HashMap<String, f64>> {
    let program = env::current_exe()?.with_file_name(format!("throughline-bench-allocations{EXE_SUFFIX}"));
    let output = Command::new(&program).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "{} exited with {}", program.display(), output.status);
    let count = |line: &str| {
        let (name, count) = line.split_once('\t').context("a line has no tab")?;
        Ok((name.to_owned(), count.parse()?))
    };
    String::from_utf8(output.stdout)?.lines().map(count).collect()
}

fn print(rows: &[Row], batches: Batches, parse_ns: f64, bytes_per_span: f64) {
    println!(
        "## Cost of a traced request, exported by {}

All layers run in one process with the same exporter, whose requests, {bytes_per_span:.0} bytes per span on average, are discarded
by the client; metrics are recorded if the layer has them. Values are medians of interleaved rounds. Added CPU time and
allocations are those on the thread that handles the request, less those of the bare router; with export, the time of the
exporter's thread is included. Requests per second are by wall-clock time; the share of the bare router is by CPU time, so that a
busy machine has little influence. The first handler is empty; the second is that of an application: it reads fifty rows, like a
page of Cruddur's feed, from a SQLite file and writes them as JSON.

| layer | added CPU, µs | quartiles | with export, µs | allocations added | requests/s, empty | of bare | requests/s, feed | of bare |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        batches.name()
    );
    for Row { subject, cost, allocations, rate, feed_rate } in rows {
        println!(
            "| {} | {:.2} | {:.2}–{:.2} | {:.2} | {:.1} | {:.0} | {:.1} % | {:.0} | {:.1} % |",
            subject.name(),
            cost.added_us.median,
            cost.added_us.lower,
            cost.added_us.upper,
            cost.exported_us.median,
            allocations,
            rate.per_second,
            rate.of_bare.median * 100.0,
            feed_rate.per_second,
            feed_rate.of_bare.median * 100.0,
        );
    }
    println!("\nParsing a valid `traceparent`: {parse_ns:.1} ns.\n");
}

fn missed(rows: &[Row], parse_ns: f64) -> Vec<String> {
    let mut missed = Vec::new();
    let peers = || rows.iter().filter(|row| row.subject.is_peer());
    for ours in rows.iter().filter(|row| row.subject.is_ours()) {
        let name = ours.subject.name();
        let (added, exported) = (ours.cost.added_us.median, ours.cost.exported_us.median);
        if exported > TARGET_ADDED_US {
            missed.push(format!("{name} adds {exported:.2} µs to a request; the target is at most {TARGET_ADDED_US}"));
        }
        for peer in peers() {
            // Through `tracing`, our layer does the same as others; only with its own tracer it must be the cheapest.
            if ours.subject == Subject::Ours && added >= peer.cost.added_us.median {
                missed.push(format!("{name} adds at least as much CPU time as {}", peer.subject.name()));
            }
            if ours.subject == Subject::Ours && exported >= peer.cost.exported_us.median {
                missed.push(format!("{name} adds, with export, at least as much CPU time as {}", peer.subject.name()));
            }
            if ours.subject == Subject::Ours && ours.allocations >= peer.allocations {
                missed.push(format!("{name} allocates at least as often as {}", peer.subject.name()));
            }
        }
        let rate = ours.feed_rate.of_bare.median;
        if ours.subject == Subject::Ours && rate < TARGET_RATE {
            let (share, target) = (rate * 100.0, TARGET_RATE * 100.0);
            missed.push(format!(
                "{name} reaches {share:.1} % of the bare router's requests with an application's handler; the target is {target}"
            ));
        }
    }
    if parse_ns > TARGET_PARSE_NS {
        missed.push(format!("parsing a traceparent takes {parse_ns:.1} ns; the target is at most {TARGET_PARSE_NS}"));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
