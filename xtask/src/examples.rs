//! Runs the examples of the published packages.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{process, workspace::Workspace};

/// Examples that are tools for developers, or services that do not end.
const TOOLS: [&str; 2] = ["golden", "w3c_service"];
/// How long an example may run on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Compiles and runs every example. `selection` are the arguments that select the packages.
///
/// # Errors
///
/// A package has no example, or an example fails or does not end.
pub(crate) fn run(workspace: &Workspace, selection: &[&str]) -> Result<()> {
    process::run(workspace.cargo(&["build", "--examples"]).args(selection))?;
    let mut count = 0;
    for package in workspace.published()? {
        let targets = package.metadata["targets"].as_array().context("a package has no targets")?;
        let names: Vec<&str> = targets
            .iter()
            .filter(|target| target["kind"][0] == "example")
            .filter_map(|target| target["name"].as_str())
            .filter(|name| !TOOLS.contains(name))
            .collect();
        let folder = package.metadata["manifest_path"].as_str().context("a package has no manifest")?;
        let has_folder = PathBuf::from(folder).with_file_name("examples").is_dir();
        ensure!(has_folder, "{} has no example", package.name);
        for name in names {
            let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
            run_one(&workspace.target.join("debug/examples").join(file))
                .with_context(|| format!("example `{name}` of {}", package.name))?;
            count += 1;
        }
    }
    println!("{count} examples run to their end");
    Ok(())
}

fn run_one(program: &PathBuf) -> Result<()> {
    let mut child = Command::new(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "it ended with {status}");
            return Ok(());
        }
        if start.elapsed() > TIMEOUT {
            child.kill()?;
            child.wait()?;
            bail!("it has not ended after {TIMEOUT:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
