//! `cargo xtask bench server`: the server layer beside others, and a file with the tables.

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
/// Measures reading of contexts by itself, where it is there.
const CONTEXT: &str = "throughline-bench-context";

/// Whether it matters what is measured.
#[derive(Args)]
pub(crate) struct Server {
    /// Fail where a target is missed
    #[arg(long)]
    check: bool,
    /// Arguments for the program that measures
    #[arg(last = true)]
    runner: Vec<String>,
}

/// Has the requests compared and measured, prints the tables and keeps them.
pub(super) fn run(workspace: &Workspace, server: &Server) -> Result<ExitCode> {
    let mut progress = Progress::new(3);
    let correctness = progress.step("what is right", || correctness(workspace))?;
    let program = progress.step("programs", || {
        process::run(&mut workspace.cargo(&["build", "--locked", "--release", "--package", RUNNER]))?;
        Ok(workspace.target.join("release").join(format!("{RUNNER}{}", std::env::consts::EXE_SUFFIX)))
    })?;
    let (costs, met) = progress.step("what it costs", || {
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
    let report = format!("# The server layer\n\n## What is right\n\n{}\n{}", align(&correctness), align(&costs));
    println!("\n{report}");
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("server.md");
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    println!("kept in {}", file.display());
    Ok(if met || !server.check { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table that the test prints; the test fails where ours is wrong.
fn correctness(workspace: &Workspace) -> Result<String> {
    let mut cargo = workspace.cargo(&["test", "--locked", "--package", RUNNER, "--test", "correctness", "--"]);
    let output = process::output(cargo.arg("--nocapture").env("RUST_BACKTRACE", "0"))?;
    Ok(table(&output))
}

/// The lines of `output` that are a table's.
fn table(output: &str) -> String {
    output.lines().filter(|line| line.starts_with('|')).flat_map(|line| [line, "\n"]).collect()
}

/// The runner's text, and whether all targets are met.
fn measured(command: &mut Command) -> Result<(String, bool)> {
    /// How the runner ends when all went well but a target is missed.
    const MISSED: i32 = 2;
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", process::show(command)))?;
    let text = String::from_utf8(output.stdout).context("the runner wrote bytes that are not UTF-8")?;
    match output.status.code() {
        Some(0) => Ok((text, true)),
        Some(MISSED) => Ok((text, false)),
        _ => bail!("{} ended with {}", process::show(command), output.status),
    }
}

/// Nanoseconds for a `traceparent`, from the package that measures that alone.
fn parse_ns(workspace: &Workspace) -> Result<Option<f64>> {
    let packages = workspace.metadata["packages"].as_array();
    if !packages.into_iter().flatten().any(|package| package["name"] == CONTEXT) {
        return Ok(None);
    }
    let text =
        process::output(&mut workspace.cargo(&["run", "--locked", "--release", "--quiet", "--package", CONTEXT]))?;
    let measured: Value = serde_json::from_str(text.trim()).with_context(|| format!("what {CONTEXT} wrote"))?;
    Ok(measured["traceparent_parse_ns"].as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_is_kept() {
        assert_eq!(table("running 1 test\n| a | b |\n| --- | --- |\ntest x ... ok\n"), "| a | b |\n| --- | --- |\n");
    }
}
