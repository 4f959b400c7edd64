//! Runs every fuzz target for a limited time.
//!
//! `cargo fuzz` requires a nightly compiler for its address sanitizer. Our code is safe Rust, so the targets look for
//! violated invariants, and the pinned compiler can instrument for coverage: libFuzzer runs as with `cargo fuzz run
//! --sanitizer none`.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// The flags that `cargo fuzz` sets without a sanitizer.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
/// The memory limit of a target in MiB: parsers must not allocate without a bound.
const MEMORY_MIB: u32 = 2_048;
/// The time limit for one input in seconds.
const INPUT_S: u32 = 10;

/// Runs every target for `each`. The first input that violates an invariant is printed, and written below `fuzz/artifacts`.
pub(crate) fn fuzz(workspace: &Workspace, each: Duration) -> Result<()> {
    let manifest = workspace.root.join("fuzz/Cargo.toml");
    ensure!(process::find("c++").is_some(), "libFuzzer requires a C++ compiler; on Debian: apt-get install g++");
    // With an explicit `--target`, the flags do not apply to build scripts and procedural macros, which must not be
    // instrumented.
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
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut run = Command::new(target.join(&host).join("release").join(name));
        run.arg(format!("-max_total_time={}", each.as_secs()))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-timeout={INPUT_S}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus)
            // The seeds are not changed: libFuzzer writes to the first folder.
            .args(Some(workspace.root.join("fuzz/seeds").join(name)).filter(|seeds| seeds.is_dir()));
        process::run(run.current_dir(workspace.root.join("fuzz")))
            .with_context(|| format!("{name} found a violated invariant"))?;
    }
    Ok(())
}

fn host() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` printed no host")
}

/// Returns the targets that the manifest lists.
fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let mut cargo = workspace.cargo(&["metadata", "--no-deps", "--format-version=1", "--manifest-path"]);
    let metadata: Value = serde_json::from_str(&process::output(cargo.arg(workspace.root.join("fuzz/Cargo.toml")))?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    Ok(targets.filter_map(|target| target["name"].as_str()).map(str::to_owned).collect())
}
