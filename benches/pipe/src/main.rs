//! Measures the pipeline from the OTLP receiver to the disk, and reads. `cargo xtask bench pipe` builds the server and
//! runs it.
//!
//! Standard output is a section of Markdown.

mod client;
mod figures;
mod load;
mod random;
mod reads;
mod sections;
mod server;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::sections::Place;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    section: Section,
    /// The server to measure
    #[arg(long, global = true, default_value = "target/release/throughline")]
    server: PathBuf,
    /// The folder for the data, on the disk to measure
    #[arg(long, global = true, default_value = "target/bench/pipe")]
    folder: PathBuf,
}

#[derive(Subcommand)]
enum Section {
    /// Spans at the maximum rate: rate, bytes, memory, start-up, reads
    Load {
        /// Number of spans
        #[arg(long, default_value_t = 1_000_000)]
        spans: u64,
    },
    /// Spans at a constant rate: time to acknowledgement
    Pace {
        /// Spans per second
        #[arg(long, default_value_t = 50_000)]
        rate: u64,
        /// Duration in seconds
        #[arg(long, default_value_t = 15)]
        seconds: u64,
    },
    /// Reads among many spans
    Large {
        /// Number of spans
        #[arg(long, default_value_t = 10_000_000)]
        spans: u64,
    },
}

/// The exit code if all measurements succeed but a target is missed.
const MISSED: u8 = 2;

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    sections::check(&cli.server)?;
    let place = Place { server: cli.server, folder: cli.folder };
    let (figures, title) = match cli.section {
        Section::Load { spans } => (sections::load(&place, spans)?, "load"),
        Section::Pace { rate, seconds } => (sections::pace(&place, rate, seconds)?, "pace"),
        Section::Large { spans } => (sections::large(&place, spans)?, "large"),
    };
    print!("{}", figures.markdown(title));
    Ok(if figures.missed { ExitCode::from(MISSED) } else { ExitCode::SUCCESS })
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
