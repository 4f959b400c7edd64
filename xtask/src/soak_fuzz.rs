//! Every fuzz target for a while.
//!
//! `cargo fuzz` wants a nightly compiler for its address sanitizer. Our code is safe Rust, so the laws are what is looked for,
//! and the compiler that is pinned can instrument for coverage: libFuzzer is guided as with `cargo fuzz run --sanitizer none`.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// As `cargo fuzz` sets them, without a sanitizer.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
/// The most memory that a target may take, MiB: what is read must not grow without a bound.
const MEMORY_MIB: u32 = 2_048;
/// The longest time for one input, seconds.
const INPUT_S: u32 = 10;

/// Runs every target for `each`; the first input that breaks a law is named, and kept below `fuzz/artifacts`.
pub(crate) fn fuzz(workspace: &Workspace, each: Duration) -> Result<()> {
    let manifest = workspace.root.join("fuzz/Cargo.toml");
    ensure!(process::find("c++").is_some(), "libFuzzer needs a C++ compiler; on Debian: apt-get install g++");
    // A target of its own keeps the flags away from build scripts and procedural macros, which are not to be instrumented.
    let host = host()?;
    let target = workspace.target.join("fuzz");
    let mut build =
        workspace.cargo(&["build", "--release", "--locked", "--bins", "--target", &host, "--manifest-path"]);
    process::run(build.arg(&manifest).env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", RUSTFLAGS))?;
    let names = names(workspace)?;
    ensure!(!names.is_empty(), "there are no fuzz targets");
    for (number, name) in names.iter().enumerate() {
        println!("{name} ({} of {}), {} s", number + 1, names.len(), each.as_secs());
        let corpus = workspace.root.join("fuzz/corpus").join(name);
        let artifacts = workspace.root.join("fuzz/artifacts").join(name);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut run = Command::new(target.join(&host).join("release").join(name));
        run.arg(format!("-max_total_time={}", each.as_secs()))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-timeout={INPUT_S}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus)
            // What is seeded stays as it is; libFuzzer writes into the first folder.
            .args(Some(workspace.root.join("fuzz/seeds").join(name)).filter(|seeds| seeds.is_dir()));
        process::run(run.current_dir(workspace.root.join("fuzz"))).with_context(|| format!("{name} broke a law"))?;
    }
    Ok(())
}

fn host() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it runs on")
}

/// The targets that the manifest lists.
fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let mut cargo = workspace.cargo(&["metadata", "--no-deps", "--format-version=1", "--manifest-path"]);
    let metadata: Value = serde_json::from_str(&process::output(cargo.arg(workspace.root.join("fuzz/Cargo.toml")))?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    Ok(targets.filter_map(|target| target["name"].as_str()).map(str::to_owned).collect())
}
