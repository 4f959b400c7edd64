//! `cargo xtask bench browser`: builds the pages, runs the measurements and writes the tables to a file.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::{
    apps::{self, App},
    bytes,
    peers::{PEERS, Peers},
    table::align,
};
use crate::{chromium, process, progress::Progress, tools, workspace::Workspace};

/// Options of `cargo xtask bench browser`.
#[derive(Args)]
pub(crate) struct Browser {
    /// Run only this measurement
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// Also list the bytes by crate and function; this compiles everything again
    #[arg(long)]
    functions: bool,
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Bytes on the wire
    Bytes,
    /// Main-thread time of traced requests
    Time,
    /// Time until the tracer is ready
    Start,
    /// Telemetry that arrives from pages that are closed
    Exit,
    /// Memory of a page that stays open for a long time
    Life,
}

impl Section {
    const ALL: [Self; 5] = [Self::Bytes, Self::Time, Self::Start, Self::Exit, Self::Life];

    /// Returns whether other tracers are measured too.
    fn compares(self) -> bool {
        matches!(self, Self::Bytes | Self::Time | Self::Start)
    }

    /// Returns its name on the runner's command line.
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Time => "time",
            Self::Start => "start",
            Self::Exit => "exit",
            Self::Life => "life",
        }
    }
}

/// Runs the sections in order, prints each when it is done, and writes all to one file.
pub(super) fn run(workspace: &Workspace, browser: &Browser) -> Result<ExitCode> {
    let sections: Vec<_> =
        Section::ALL.into_iter().filter(|section| browser.only.is_none_or(|only| only == *section)).collect();
    let in_chromium = sections.iter().any(|section| *section != Section::Bytes);
    let with_peers = sections.iter().any(|section| section.compares());
    let mut progress = Progress::new(sections.len() + usize::from(with_peers) + 2 * usize::from(in_chromium));
    let folder = bytes::folder(workspace)?;
    let peers =
        if with_peers { Some(progress.step("other tracers", || Peers::install(workspace, &folder))?) } else { None };
    let runner = if in_chromium {
        progress.step("pages", || pages(workspace, peers.as_ref(), &folder))?;
        Some(progress.step("runner", || Runner::build(workspace, &folder))?)
    } else {
        None
    };
    let mut report = String::from("# The tracer for pages\n");
    let mut missed = Vec::new();
    for section in sections {
        let (text, met) = progress.step(section.name(), || match (&runner, section) {
            (Some(runner), section) if section != Section::Bytes => runner.run(section),
            _ => {
                let peers = peers.as_ref().context("the other tracers are not installed")?;
                let (mut text, met) = bytes::measure(workspace, peers)?;
                if browser.functions {
                    text.push_str(&bytes::functions(workspace)?);
                }
                Ok((text, met))
            }
        })?;
        let text = align(&text);
        println!("\n{text}");
        write!(report, "\n{text}")?;
        if !met {
            missed.push(section.name());
        }
    }
    // A single section does not overwrite the file with all sections.
    let name = browser.only.map_or_else(|| "browser.md".to_owned(), |only| format!("browser-{}.md", only.name()));
    let file = workspace.target.join("bench").join(name);
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    println!("written to {}", file.display());
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("targets missed: {}", missed.join(", "));
    Ok(if browser.check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Builds the files that Chromium loads: our tracer for JavaScript, and the bundles of the others.
fn pages(workspace: &Workspace, peers: Option<&Peers>, folder: &Path) -> Result<()> {
    apps::build(workspace, &tools::ensure(workspace)?, App::PROBE, folder)?;
    for (peers, peer) in peers.into_iter().flat_map(|peers| PEERS.iter().map(move |peer| (peers, peer))) {
        peers.bundle(peer, &folder.join("peers").join(format!("{}.js", peer.name)))?;
    }
    Ok(())
}

/// The program that drives Chromium.
struct Runner<'a> {
    program: std::path::PathBuf,
    chromedriver: std::path::PathBuf,
    folder: &'a Path,
}

impl<'a> Runner<'a> {
    fn build(workspace: &Workspace, folder: &'a Path) -> Result<Self> {
        const PACKAGE: &str = "throughline-bench-browser";
        let chromedriver = chromium::ensure()?.chromedriver;
        process::run(&mut workspace.cargo(&["build", "--locked", "--release", "--package", PACKAGE]))?;
        let program = workspace.target.join("release").join(format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX));
        Ok(Self { program, chromedriver, folder })
    }

    /// Runs a section; returns its text, and whether its targets are met.
    fn run(&self, section: Section) -> Result<(String, bool)> {
        /// The runner's exit code if it succeeds but a target is missed.
        const MISSED: i32 = 2;
        let mut command = Command::new(&self.program);
        command.arg(section.name()).arg("--assets").arg(self.folder);
        command.env("THROUGHLINE_E2E_CHROMEDRIVER", &self.chromedriver).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start {}", process::show(&command)))?;
        let text = String::from_utf8(output.stdout).context("the runner wrote bytes that are not UTF-8")?;
        match output.status.code() {
            Some(0) => Ok((text, true)),
            Some(MISSED) => Ok((text, false)),
            _ => bail!("{} exited with {}", process::show(&command), output.status),
        }
    }
}
