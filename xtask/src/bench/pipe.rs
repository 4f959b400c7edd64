//! `cargo xtask bench pipe`: builds the server, puts it under load and writes the tables to a file.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::table::align;
use crate::{
    dist::{self, Profile},
    process,
    progress::Progress,
    server::{self, Program},
    workspace::Workspace,
};

const PACKAGE: &str = "throughline-bench-pipe";
/// The runner's exit code if it succeeds but a target is missed.
const MISSED: i32 = 2;

/// Options of `cargo xtask bench pipe`.
#[derive(Args)]
pub(crate) struct Pipe {
    /// Run only this measurement
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// At the maximum rate: rate, bytes, memory, start-up, reads
    Load,
    /// Time to acknowledgement at half the target rate
    Pace,
    /// Reads among ten million spans
    Large,
}

impl Section {
    const ALL: [Self; 3] = [Self::Load, Self::Pace, Self::Large];

    /// Returns its name on the runner's command line.
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Pace => "pace",
            Self::Large => "large",
        }
    }
}

/// Runs the sections in order, prints each when it is done, and writes all to one file.
pub(super) fn run(workspace: &Workspace, pipe: &Pipe) -> Result<ExitCode> {
    let sections: Vec<_> =
        Section::ALL.into_iter().filter(|section| pipe.only.is_none_or(|only| only == *section)).collect();
    let mut progress = Progress::new(sections.len() + server::STEPS + 1);
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // An empty page of the inspector is enough for this measurement.
    dist::make_outputs(workspace)?;
    server::build(workspace, Profile::Release, &[Program::Throughline], &mut progress)?;
    let server = server::binary(workspace, Profile::Release, Program::Throughline);
    let runner = progress.step("runner", || {
        process::run(&mut workspace.cargo(&["build", "--locked", "--release", "--package", PACKAGE]))?;
        Ok(workspace.target.join("release").join(format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX)))
    })?;
    let mut report = String::from("# The pipeline\n");
    let mut missed = Vec::new();
    for section in sections {
        let (text, met) = progress.step(section.name(), || measure(&runner, &server, &folder, section))?;
        let text = align(&text);
        println!("\n{text}");
        write!(report, "\n{text}")?;
        if !met {
            missed.push(section.name());
        }
    }
    // A single section does not overwrite the file with all sections.
    let name = pipe.only.map_or_else(|| "pipe.md".to_owned(), |only| format!("pipe-{}.md", only.name()));
    let file = folder.join(name);
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    println!("written to {}", file.display());
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("targets missed: {}", missed.join(", "));
    Ok(if pipe.check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs a section; returns its text, and whether its targets are met.
fn measure(runner: &Path, server: &Path, folder: &Path, section: Section) -> Result<(String, bool)> {
    let mut command = Command::new(runner);
    command.arg(section.name()).arg("--server").arg(server).arg("--folder").arg(folder.join("pipe"));
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", process::show(&command)))?;
    let text = String::from_utf8(output.stdout).context("the runner wrote bytes that are not UTF-8")?;
    match output.status.code() {
        Some(0) => Ok((text, true)),
        Some(MISSED) => Ok((text, false)),
        _ => bail!("{} exited with {}", process::show(&command), output.status),
    }
}
