//! Measures the tracer for pages in Chromium, beside others. `cargo xtask bench browser` builds what it takes and runs it.
//!
//! Standard output is a section of Markdown; what is going on goes to standard error.

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
    /// Where xtask put what the pages load
    #[arg(long, global = true, default_value = "target/bench/browser")]
    assets: PathBuf,
}

#[derive(Subcommand)]
enum Section {
    /// Main-thread time of traced requests
    Time(Time),
    /// Time until the tracer is ready
    Start(Start),
    /// What arrives from pages that are closed
    Exit(Exit),
    /// Memory of a page that lives long
    Life(Life),
}

#[derive(Args)]
struct Time {
    /// How often each tracer is measured
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Requests in each measurement
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Measure these alone, by the names of their entry files, separated by commas
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
    /// Pages in all, half of them closed, half left for another page
    #[arg(long, default_value_t = 100)]
    pages: u64,
}

#[derive(Args)]
struct Life {
    /// Spans in all
    #[arg(long, default_value_t = 100_000)]
    spans: u64,
    /// Those of them that are requests
    #[arg(long, default_value_t = 5_000)]
    requests: u64,
}

/// What a section came to: its Markdown, and whether its targets are met.
struct Outcome {
    text: String,
    met: bool,
}

/// How this program ends when all went well but a target is missed.
const MISSED: u8 = 2;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // The client of the WebDriver is built without TLS of its own choosing; a second call changes nothing.
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
