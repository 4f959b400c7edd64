//! `cargo xtask bench pipe`: builds the server, puts it under load, and keeps the tables.

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
/// How the runner ends when all went well but a target is missed.
const MISSED: i32 = 2;

/// What to measure, and whether it matters.
#[derive(Args)]
pub(crate) struct Pipe {
    /// Measure this alone
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// Fail where a target is missed
    #[arg(long)]
    check: bool,
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// As fast as it goes: rate, bytes, memory, start, reads
    Load,
    /// Acknowledgements at half the rate
    Pace,
    /// Reads among ten million spans
    Large,
}

impl Section {
    const ALL: [Self; 3] = [Self::Load, Self::Pace, Self::Large];

    /// As it is called on the runner's command line.
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Pace => "pace",
            Self::Large => "large",
        }
    }
}

/// Runs the sections one after the other; each is printed when it is there, and all are kept in one file.
pub(super) fn run(workspace: &Workspace, pipe: &Pipe) -> Result<ExitCode> {
    let sections: Vec<_> =
        Section::ALL.into_iter().filter(|section| pipe.only.is_none_or(|only| only == *section)).collect();
    let mut progress = Progress::new(sections.len() + server::STEPS + 1);
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Whether the inspector's page is in it makes no difference here.
    dist::make_outputs(workspace)?;
    server::build(workspace, Profile::Release, &[Program::Throughline], &mut progress)?;
    let server = server::binary(workspace, Profile::Release, Program::Throughline);
    let runner = progress.step("runner", || {
        process::run(&mut workspace.cargo(&["build", "--locked", "--release", "--package", PACKAGE]))?;
        Ok(workspace.target.join("release").join(format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX)))
    })?;
    let mut report = String::from("# The pipe\n");
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
    // A single section does not replace what was measured of all.
    let name = pipe.only.map_or_else(|| "pipe.md".to_owned(), |only| format!("pipe-{}.md", only.name()));
    let file = folder.join(name);
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    println!("kept in {}", file.display());
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("targets are missed: {}", missed.join(", "));
    Ok(if pipe.check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The section's text, and whether its targets are met.
fn measure(runner: &Path, server: &Path, folder: &Path, section: Section) -> Result<(String, bool)> {
    let mut command = Command::new(runner);
    command.arg(section.name()).arg("--server").arg(server).arg("--folder").arg(folder.join("pipe"));
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", process::show(&command)))?;
    let text = String::from_utf8(output.stdout).context("the runner wrote bytes that are not UTF-8")?;
    match output.status.code() {
        Some(0) => Ok((text, true)),
        Some(MISSED) => Ok((text, false)),
        _ => bail!("{} ended with {}", process::show(&command), output.status),
    }
}
