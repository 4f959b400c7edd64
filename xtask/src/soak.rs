//! `cargo xtask soak`: bounded tests that take too long to run on every change.

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::Args;

use crate::{dist, process, progress::Progress, server::Program, soak_fuzz, tally::Tally, workspace::Workspace};

/// Options of `cargo xtask soak`.
#[derive(Args)]
pub(crate) struct Soak {
    /// Run only this part
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// List the parts
    #[arg(long, conflicts_with = "only")]
    list: bool,
    /// Kill the server this number of times
    #[arg(long, value_name = "N", default_value_t = 50)]
    rounds: u32,
    /// Run each fuzz target for this number of seconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    fuzz_seconds: u64,
}

/// One part: its name, a description and its function.
struct Part {
    name: &'static str,
    what: &'static str,
    work: fn(&Workspace, &Soak) -> Result<()>,
}

const PARTS: [Part; 4] = [
    Part { name: "kill", what: "the server is killed under load repeatedly", work: kill },
    Part { name: "upstream", what: "slow, broken and misbehaving upstreams", work: upstream },
    Part { name: "latency", what: "response times of the application with such upstreams", work: latency },
    Part { name: "fuzz", what: "every fuzz target for a limited time", work: fuzz },
];

/// Runs all parts or one; stops at the first that fails.
pub(crate) fn run(workspace: &Workspace, soak: &Soak) -> Result<ExitCode> {
    if soak.list {
        for part in &PARTS {
            println!("{:<12} {}", part.name, part.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let only = soak.only.as_deref();
    let parts: Vec<&Part> = PARTS.iter().filter(|part| only.is_none_or(|only| only == part.name)).collect();
    ensure!(
        !parts.is_empty(),
        "unknown part `{}`; `cargo xtask soak --list` lists the parts",
        only.unwrap_or_default()
    );
    let mut progress = Progress::new(parts.len());
    for part in parts {
        progress.step(part.what, || (part.work)(workspace, soak))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn kill(workspace: &Workspace, soak: &Soak) -> Result<()> {
    ensure!(soak.rounds > 0, "--rounds must be at least 1");
    let name = "crash::acknowledged_records_survive_a_kill_and_reach_every_upstream";
    let mut cargo = server_test(workspace, Program::Throughline, name)?;
    one_test(cargo.env("THROUGHLINE_E2E_KILL_ROUNDS", soak.rounds.to_string()))
}

fn upstream(workspace: &Workspace, _: &Soak) -> Result<()> {
    let name = "misbehaviour::no_record_is_lost_and_memory_is_bounded_with_misbehaving_upstreams";
    one_test(server_test(workspace, Program::Throughline, name)?.env("THROUGHLINE_E2E_SOAK", "1"))
}

fn latency(workspace: &Workspace, _: &Soak) -> Result<()> {
    let name = "misbehaviour::a_misbehaving_upstream_does_not_slow_the_application_down";
    one_test(server_test(workspace, Program::Cruddur, name)?.env("THROUGHLINE_E2E_SOAK", "1"))
}

fn fuzz(workspace: &Workspace, soak: &Soak) -> Result<()> {
    soak_fuzz::fuzz(workspace, Duration::from_secs(soak.fuzz_seconds))
}

/// Returns the command for one test of a program, compiled with the release profile.
fn server_test(workspace: &Workspace, program: Program, name: &str) -> Result<Command> {
    dist::make_outputs(workspace)?;
    let mut cargo = workspace.cargo(&["test", "--release", "--package", program.name(), "--test=it"]);
    cargo.args(["--", "--exact", "--nocapture", name]);
    Ok(cargo)
}

/// Runs one test. It is an error if the test does not exist any more.
fn one_test(command: &mut Command) -> Result<()> {
    let mut tally = Tally::default();
    process::watch(command, |line| tally.add(line))?;
    ensure!(tally.passed == 1, "{} tests ran instead of one", tally.passed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_names_are_unique() {
        let mut names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
    }
}
