//! `cargo xtask bench server`: compares the server layer with others and writes the tables to a file.

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use super::table::align;
use crate::{process, progress::Progress, workspace::Workspace};

const RUNNER: &str = "throughline-bench-server";
/// The package that measures parsing of trace contexts, if it exists.
const CONTEXT: &str = "throughline-bench-context";

/// Options of `cargo xtask bench server`.
#[derive(Args)]
pub(crate) struct Server {
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
    /// Arguments for the runner
    #[arg(last = true)]
    runner: Vec<String>,
}

/// Runs the correctness test and the measurements, prints the tables and writes them to a file.
pub(super) fn run(workspace: &Workspace, server: &Server) -> Result<ExitCode> {
    let mut progress = Progress::new(3);
    let correctness = progress.step("correctness", || correctness(workspace))?;
    let program = progress.step("programs", || {
        process::run(&mut workspace.cargo(&["build", "--locked", "--release", "--package", RUNNER]))?;
        Ok(workspace.target.join("release").join(format!("{RUNNER}{}", std::env::consts::EXE_SUFFIX)))
    })?;
    let (costs, met) = progress.step("costs", || {
        let parse_ns = parse_ns(workspace)?;
        let (mut costs, mut met) = (Vec::new(), true);
        for batches in ["encoding", "sdk"] {
            let mut command = Command::new(&program);
            command.args(["--batches", batches]).args(&server.runner);
            if let Some(parse_ns) = parse_ns {
                command.arg("--parse-ns").arg(parse_ns.to_string());
            }
            let (text, all_met) = measured(&mut command)?;
            costs.push(text);
            met &= all_met;
        }
        Ok((costs.join("\n"), met))
    })?;
    let report = format!("# The server layer\n\n## Correctness\n\n{}\n{}", align(&correctness), align(&costs));
    println!("\n{report}");
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join("server.md");
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    println!("written to {}", file.display());
    Ok(if met || !server.check { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the table that the test prints; the test fails if our layer is wrong.
fn correctness(workspace: &Workspace) -> Result<String> {
    let mut cargo = workspace.cargo(&["test", "--locked", "--package", RUNNER, "--test", "correctness", "--"]);
    let output = process::output(cargo.arg("--nocapture").env("RUST_BACKTRACE", "0"))?;
    Ok(table(&output))
}

/// Returns the lines of `output` that belong to a table.
fn table(output: &str) -> String {
    output.lines().filter(|line| line.starts_with('|')).flat_map(|line| [line, "\n"]).collect()
}

/// Returns the runner's output, and whether all targets are met.
fn measured(command: &mut Command) -> Result<(String, bool)> {
    /// The runner's exit code if it succeeds but a target is missed.
    const MISSED: i32 = 2;
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", process::show(command)))?;
    let text = String::from_utf8(output.stdout).context("the runner wrote bytes that are not UTF-8")?;
    match output.status.code() {
        Some(0) => Ok((text, true)),
        Some(MISSED) => Ok((text, false)),
        _ => bail!("{} exited with {}", process::show(command), output.status),
    }
}

/// Returns the nanoseconds for parsing a `traceparent`, as measured by [`CONTEXT`].
fn parse_ns(workspace: &Workspace) -> Result<Option<f64>> {
    let packages = workspace.metadata["packages"].as_array();
    if !packages.into_iter().flatten().any(|package| package["name"] == CONTEXT) {
        return Ok(None);
    }
    let text =
        process::output(&mut workspace.cargo(&["run", "--locked", "--release", "--quiet", "--package", CONTEXT]))?;
    let measured: Value =
        serde_json::from_str(text.trim()).with_context(|| format!("cannot parse the output of {CONTEXT}"))?;
    Ok(measured["traceparent_parse_ns"].as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_of_the_output_is_kept() {
        assert_eq!(table("running 1 test\n| a | b |\n| --- | --- |\ntest x ... ok\n"), "| a | b |\n| --- | --- |\n");
    }
}
