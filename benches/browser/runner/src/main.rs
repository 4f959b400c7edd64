//! Measures browser tracers in Chromium. `cargo xtask bench browser` builds the pages and runs it.
//!
//! Standard output is a section of Markdown; progress is written to standard error.

mod exit;
mod life;
mod page;
mod start;
mod stats;
mod stub;
mod telemetry;
mod time;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::stub::Stub;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    section: Section,
    /// The folder in which xtask has put the files that the pages load
    #[arg(long, global = true, default_value = "target/bench/browser")]
    assets: PathBuf,
}

#[derive(Subcommand)]
enum Section {
    /// Main-thread time of traced requests
    Time(Time),
    /// Time until the tracer is ready
    Start(Start),
    /// Telemetry that arrives from pages that are closed
    Exit(Exit),
    /// Memory of a page that stays open for a long time
    Life(Life),
}

#[derive(Args)]
struct Time {
    /// Measurements of each tracer
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Requests in each measurement
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Measure only these, by the names of their entry files, separated by commas
    #[arg(long, value_delimiter = ',')]
    tracers: Vec<String>,
}

#[derive(Args)]
struct Start {
    /// Pages for each tracer
    #[arg(long, default_value_t = 31)]
    loads: usize,
}

#[derive(Args)]
struct Exit {
    /// Number of pages, half of them closed, half left for another page
    #[arg(long, default_value_t = 100)]
    pages: u64,
}

#[derive(Args)]
struct Life {
    /// Number of spans
    #[arg(long, default_value_t = 100_000)]
    spans: u64,
    /// Number of spans that are requests
    #[arg(long, default_value_t = 5_000)]
    requests: u64,
}

/// The result of a section: its Markdown, and whether its targets are met.
struct Outcome {
    text: String,
    met: bool,
}

/// The exit code if all measurements succeed but a target is missed.
const MISSED: u8 = 2;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // best effort: the WebDriver client has no default TLS provider; a second call has no effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let stub = Stub::start(&cli.assets).await?;
    let outcome = match cli.section {
        Section::Time(time) => time::measure(&stub, time.rounds, time.requests, &time.tracers).await,
        Section::Start(start) => start::measure(&stub, start.loads).await,
        Section::Exit(exit) => exit::measure(&stub, exit.pages).await,
        Section::Life(life) => life::measure(&stub, life.spans, life.requests).await,
    }?;
    print!("{}", outcome.text);
    Ok(if outcome.met { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
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
