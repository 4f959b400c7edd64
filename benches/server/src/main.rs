//! Measures the server layer beside others. `cargo xtask bench server` builds and runs it.
//!
//! Standard output is a section of Markdown; what is going on goes to standard error.

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
    loopback::{Asked, Rate},
};

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// How spans come to the exporter: by the batch processor of the SDK, or encoded where they end
    #[arg(long, value_name = "sdk|encoding")]
    batches: Batches,
    /// How often each layer's processor time is measured: often and for a short time, because a machine has phases, and what is
    /// compared has to be of the same one
    #[arg(long, default_value_t = 120)]
    rounds: usize,
    /// Requests in each of these measurements
    #[arg(long, default_value_t = 2_560)]
    requests: usize,
    /// How often each layer's requests per second are measured
    #[arg(long, default_value_t = 41)]
    loopback_rounds: usize,
    /// How long each of these measurements takes, milliseconds
    #[arg(long, default_value_t = 150)]
    loopback_ms: u64,
    /// How long reading a `traceparent` takes, nanoseconds, where something else has measured it
    #[arg(long)]
    parse_ns: Option<f64>,
    /// Measure this one alone, beside the bare router: its name as in the table; may be given more than once
    #[arg(long)]
    only: Vec<String>,
}

/// How this program ends when all went well but a target is missed.
const MISSED: u8 = 2;

/// What our layer may add to a request, microseconds of processor time.
const TARGET_ADDED_US: f64 = 10.0;
/// The share of the bare router's requests per second that has to be left with an application's handler. With one that does nothing a
/// bare request takes some 16 µs of processor time, the client's included, and 90 % of that were less than any span takes.
const TARGET_RATE: f64 = 0.9;
/// Reading a `traceparent`, nanoseconds.
const TARGET_PARSE_NS: f64 = 30.0;

/// What was measured of one layer.
struct Row {
    subject: Subject,
    cost: Cost,
    /// Of a request, on the thread that handles it, beyond the bare router's.
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
    let rates = |asked| loopback::measure(&set_up, &subjects, asked, cli.loopback_rounds, cli.loopback_ms);
    let (empty, feed) = (rates(Asked::Numbers)?, rates(Asked::Feed)?);
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

/// As the program beside this one counts them, which measures nothing else.
fn allocations() -> Result<HashMap<String, f64>> {
    let program = env::current_exe()?.with_file_name(format!("throughline-bench-allocations{EXE_SUFFIX}"));
    let output = Command::new(&program).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "{} ended with {}", program.display(), output.status);
    let count = |line: &str| {
        let (name, count) = line.split_once('\t').context("a line without a tab")?;
        Ok((name.to_owned(), count.parse()?))
    };
    String::from_utf8(output.stdout)?.lines().map(count).collect()
}

fn print(rows: &[Row], batches: Batches, parse_ns: f64, bytes_per_span: f64) {
    println!(
        "## What a traced request costs, exported by {}

One process, one exporter: that of `opentelemetry-otlp`, whose requests, {bytes_per_span:.0} bytes a span on average, go to a client
that throws them away; metrics where the layer has them. Medians of interleaved rounds. Added are processor time and
allocations beyond the bare router's, on the thread that handles the request; with export, the time of the exporter's thread too.
Requests per second are by the clock; their share of the bare router's is by processor time, so that a busy machine changes little.
The first handler does nothing; the second is an application's: it reads fifty rows, as a page of Cruddur's feed has, from a SQLite
file and writes them as JSON.

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
    println!("\nReading a valid `traceparent`: {parse_ns:.1} ns.\n");
}

fn missed(rows: &[Row], parse_ns: f64) -> Vec<String> {
    let mut missed = Vec::new();
    let peers = || rows.iter().filter(|row| row.subject.is_peer());
    for ours in rows.iter().filter(|row| row.subject.is_ours()) {
        let name = ours.subject.name();
        let (added, exported) = (ours.cost.added_us.median, ours.cost.exported_us.median);
        if exported > TARGET_ADDED_US {
            missed.push(format!("{name} adds {exported:.2} µs to a request, {TARGET_ADDED_US} are allowed"));
        }
        for peer in peers() {
            // By the way of `tracing` ours does what others do; the shorter way is the one that has to be the cheapest.
            if ours.subject == Subject::Ours && added >= peer.cost.added_us.median {
                missed.push(format!("{name} adds more processor time than {}", peer.subject.name()));
            }
            if ours.subject == Subject::Ours && exported >= peer.cost.exported_us.median {
                missed.push(format!("{name} adds more processor time, with export, than {}", peer.subject.name()));
            }
            if ours.subject == Subject::Ours && ours.allocations >= peer.allocations {
                missed.push(format!("{name} allocates more often than {}", peer.subject.name()));
            }
        }
        let rate = ours.feed_rate.of_bare.median;
        if ours.subject == Subject::Ours && rate < TARGET_RATE {
            let (share, target) = (rate * 100.0, TARGET_RATE * 100.0);
            missed.push(format!(
                "{name} leaves {share:.1} % of the requests to an application's handler, {target} are wanted"
            ));
        }
    }
    if parse_ns > TARGET_PARSE_NS {
        missed.push(format!("reading a traceparent takes {parse_ns:.1} ns, {TARGET_PARSE_NS} are allowed"));
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
