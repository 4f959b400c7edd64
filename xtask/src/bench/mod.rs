//! `cargo xtask bench`: measurements that are printed as tables, and kept as Markdown.

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

/// What there is to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The tracer for pages, beside others: bytes, main-thread time, start-up, exit, long life
    Browser(browser::Browser),
    /// The server layer, beside others: what is right, processor time, allocations, requests per second
    Server(server::Server),
    /// The pipe from the OTLP receiver to the disk: rate, acknowledgement, bytes, memory, start, reads
    Pipe(pipe::Pipe),
}

/// Measures; with `--check`, a target that is missed is a failure.
pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Browser(browser) => browser::run(workspace, browser),
        Bench::Server(server) => server::run(workspace, server),
        Bench::Pipe(pipe) => pipe::run(workspace, pipe),
    }
}
