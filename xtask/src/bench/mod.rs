//! `cargo xtask bench`: measurements that are printed as tables and written to Markdown files.

mod apps;
mod browser;
mod bytes;
mod functions;
mod peers;
mod pipe;
mod sections;
mod server;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;
pub(crate) use bytes::check as check_bytes;

/// The measurements.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The browser tracer compared with others: bytes, main-thread time, start-up, exit, memory
    Browser(browser::Browser),
    /// The server layer compared with others: correctness, CPU time, allocations, requests per second
    Server(server::Server),
    /// The pipeline from the OTLP receiver to the disk: rate, acknowledgements, bytes, memory, start-up, reads
    Pipe(pipe::Pipe),
}

/// Runs a measurement; with `--check`, a missed target is a failure.
pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Browser(browser) => browser::run(workspace, browser),
        Bench::Server(server) => server::run(workspace, server),
        Bench::Pipe(pipe) => pipe::run(workspace, pipe),
    }
}
