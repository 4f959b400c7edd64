//! `cargo xtask test`: every check and every test, the quickest first.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    bench, chromium, clients,
    dist::{self, Profile},
    examples, features, fresh_app,
    other_browsers::OtherBrowsers,
    package, process,
    progress::{Progress, show},
    server::{self, Program},
    settings,
    tally::Tally,
    tidy, tools,
    workspace::Workspace,
};

/// One step: its name, a description and its function.
struct Step {
    name: &'static str,
    what: &'static str,
    work: fn(&Workspace, &mut Tally) -> Result<()>,
}

const STEPS: [Step; 22] = [
    Step { name: "fmt", what: "formatting", work: fmt },
    Step { name: "tidy", what: "rules of the repository", work: |workspace, _| tidy::check(workspace) },
    Step { name: "tools", what: "build tools and browser", work: tools },
    Step { name: "clippy", what: "clippy, native", work: clippy },
    Step { name: "clippy-wasm", what: "clippy, WebAssembly", work: clippy_wasm },
    Step { name: "features", what: "each feature of the packages", work: |workspace, _| features::check(workspace) },
    Step { name: "dist", what: "the pages", work: dist },
    Step { name: "package", what: "files of the packages", work: |workspace, _| package::check(workspace) },
    Step { name: "bytes", what: "size of the browser tracer", work: |workspace, _| bench::check_bytes(workspace) },
    Step { name: "unit", what: "unit, property and integration tests", work: unit },
    Step { name: "examples", what: "examples of the packages", work: |workspace, _| examples::run(workspace, &NATIVE) },
    Step { name: "doctest", what: "tests in the documentation", work: doctest },
    Step { name: "doc", what: "documentation", work: doc },
    Step { name: "fuzz", what: "compilation of the fuzz targets", work: fuzz },
    Step { name: "wasm", what: "tests of the browser crate in Chromium", work: wasm },
    Step { name: "server", what: "the programs", work: server },
    Step { name: "settings", what: "documentation of the settings", work: settings },
    Step { name: "clients", what: "OpenTelemetry SDKs of other languages", work: clients },
    Step { name: "e2e", what: "end-to-end tests in Chromium", work: e2e },
    Step { name: "browsers", what: "smoke test in Firefox and WebKitGTK", work: browsers },
    Step { name: "trunk", what: "the development loop with Trunk", work: trunk },
    Step { name: "fresh-app", what: "a fresh application that adds Throughline", work: fresh_app },
];

/// Prints the steps.
pub(crate) fn list() {
    for step in &STEPS {
        println!("{:<12} {}", step.name, step.what);
    }
}

/// Runs all steps, or `only` one; stops at the first that fails. The last line is the number of tests that passed and
/// failed.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> Result<ExitCode> {
    let steps: Vec<&Step> = STEPS.iter().filter(|step| only.is_none_or(|only| only == step.name)).collect();
    ensure!(
        !steps.is_empty(),
        "unknown step `{}`; `cargo xtask test --list` lists the steps",
        only.unwrap_or_default()
    );
    let mut progress = Progress::new(steps.len());
    let mut tally = Tally::default();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failure = None;
    for step in steps {
        let start = Instant::now();
        let result = progress.step(step.what, || (step.work)(workspace, &mut tally));
        times.push((step.name, start.elapsed()));
        if let Err(error) = result {
            failure = Some((step.name, error));
            break;
        }
    }
    println!();
    for (name, time) in &times {
        println!("{name:<12} {:>12}", show(*time));
    }
    println!("{:<12} {:>12}", "total", show(times.iter().map(|(_, time)| *time).sum()));
    if let Some((name, error)) = &failure {
        println!("\nstep {name} failed: {error:#}");
        println!("to run it again: cargo xtask test --only {name}\n");
    }
    println!("{tally}");
    Ok(if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fmt(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))?;
    for apart in ["fuzz/Cargo.toml", "e2e/fresh-app/Cargo.toml"] {
        process::run(&mut workspace.cargo(&["fmt", "--manifest-path", apart, "--check"]))?;
    }
    Ok(())
}

fn tools(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    chromium::ensure()?;
    tools::ensure(workspace).map(drop)
}

fn clippy(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    dist::make_outputs(workspace)?;
    process::run(&mut workspace.cargo(&[
        "clippy",
        "--workspace",
        "--exclude=throughline-bench-bare",
        "--exclude=throughline-bench-leptos",
        "--exclude=throughline-bench-probe",
        "--exclude=throughline-bench-tracer",
        "--exclude=cruddur-frontend",
        "--all-targets",
        "--",
        "-Dwarnings",
    ]))
}

fn clippy_wasm(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    tools::wasm_target(workspace)?;
    let mut cargo = workspace.cargo(&[
        "clippy",
        "--target=wasm32-unknown-unknown",
        "--package=throughline-bench-bare",
        "--package=throughline-bench-leptos",
        "--package=throughline-bench-probe",
        "--package=throughline-bench-tracer",
        "--package=throughline-browser",
        "--package=throughline-browser-standalone",
        "--package=throughline-inspector",
        "--package=cruddur-frontend",
        "--features=throughline-bench-bare/traced,throughline-bench-leptos/traced",
        "--lib",
        "--bins",
        "--",
        "-Dwarnings",
    ]);
    // A separate configuration, because the standard library's clocks panic on this target.
    cargo.env("CLIPPY_CONF_DIR", workspace.root.join(".config/clippy-wasm"));
    process::run(&mut cargo)
}

fn dist(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    dist::build(workspace, Profile::Release, &mut Progress::new(dist::STEPS))
}

fn unit(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    dist::make_outputs(workspace)?;
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast"]);
    counted(cargo.args(NATIVE).args(["--lib", "--bins", "--tests"]), tally)
}

fn doctest(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast", "--doc"]);
    counted(cargo.args(NATIVE), tally)
}

/// The packages of all native tests. It is one list, because another selection would unify features differently and compile
/// again.
const NATIVE: [&str; 3] = ["--workspace", "--exclude=throughline-bench-browser", "--exclude=throughline-e2e"];

fn doc(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    process::run(workspace.cargo(&["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-Dwarnings"))
}

fn fuzz(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    let mut cargo = workspace.cargo(&["check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--bins"]);
    // The target directory of the workspace, to share compiled dependencies.
    process::run(cargo.env("CARGO_TARGET_DIR", &workspace.target))
}

fn wasm(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let chromium = chromium::ensure()?;
    let toolbox = tools::ensure(workspace)?;
    let mut cargo = workspace.cargo(&[
        "test",
        "--no-fail-fast",
        "--target=wasm32-unknown-unknown",
        "--package=throughline-browser",
        "--all-features",
        "--lib",
        "--tests",
    ]);
    toolbox.lend(&mut cargo)?;
    cargo
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner")
        .env("CHROMEDRIVER", chromium.chromedriver)
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120")
        .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "30");
    let before = tally.passed;
    counted(&mut cargo, tally)?;
    ensure!(tally.passed > before, "no test ran in the browser");
    Ok(())
}

fn server(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    dist(workspace, &mut Tally::default())?;
    server::build(workspace, Profile::Release, &Program::ALL, &mut Progress::new(server::STEPS))
}

fn settings(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    settings::check(workspace, &built(workspace, Program::Throughline)?)
}

fn clients(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let installed = clients::ensure(workspace)?;
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast", "--package=throughline-e2e", "--test=clients"]);
    cargo.env("THROUGHLINE_E2E_BIN", built(workspace, Program::Throughline)?).env("THROUGHLINE_E2E_CLIENTS", installed);
    let before = tally.passed;
    counted(&mut cargo, tally)?;
    ensure!(tally.passed > before, "no client ran");
    Ok(())
}

fn e2e(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let chromium = chromium::ensure()?;
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast"]);
    cargo
        .args(["--package=throughline-bench-browser", "--package=throughline-e2e", "--lib", "--bins", "--tests"])
        // These tests have their own steps.
        .args(["--", "--test-threads=1", "--skip=sdk_of_", "--skip=a_fresh_application"])
        .args(["--skip=a_crud_is_one_joined_trace_in_", "--skip=the_development_loop"])
        .env("THROUGHLINE_E2E_BIN", built(workspace, Program::Cruddur)?)
        .env("THROUGHLINE_E2E_CHROMEDRIVER", chromium.chromedriver)
        .env("THROUGHLINE_E2E_FAKETIME", chromium.faketime);
    let before = tally.passed;
    counted(&mut cargo, tally)?;
    ensure!(tally.passed > before, "no end-to-end test ran");
    Ok(())
}

fn browsers(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let browsers = OtherBrowsers::ensure(workspace)?;
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast", "--package=throughline-e2e", "--test=browsers"]);
    cargo.args(["--", "--test-threads=1"]).env("THROUGHLINE_E2E_BIN", built(workspace, Program::Cruddur)?);
    browsers.lend(&mut cargo);
    let before = tally.passed;
    counted(&mut cargo, tally)?;
    ensure!(tally.passed == before + 2, "not all browsers were tested");
    Ok(())
}

fn trunk(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let chromium = chromium::ensure()?;
    let toolbox = tools::ensure(workspace)?;
    // Trunk runs with `--offline`, so the dependencies must have been downloaded.
    process::run(&mut workspace.cargo(&["fetch", "--quiet", "--locked"]))?;
    let mut cargo =
        workspace.cargo(&["test", "--no-fail-fast", "--package=throughline-e2e", "--test=development_loop"]);
    toolbox.lend(&mut cargo)?;
    cargo
        .env("THROUGHLINE_E2E_BIN", built(workspace, Program::Cruddur)?)
        .env("THROUGHLINE_E2E_CHROMEDRIVER", chromium.chromedriver);
    let before = tally.passed;
    counted(&mut cargo, tally)?;
    ensure!(tally.passed > before, "the development loop was not tested");
    Ok(())
}

fn fresh_app(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let chromium = chromium::ensure()?;
    dist::make_outputs(workspace)?;
    let app = fresh_app::build(workspace, &tools::ensure(workspace)?)?;
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast", "--package=throughline-e2e", "--test=fresh_app"]);
    cargo
        .env("THROUGHLINE_E2E_BIN", &app.binary)
        .env("THROUGHLINE_E2E_FRESH_APP", app.folder())
        .env("THROUGHLINE_E2E_CHROMEDRIVER", chromium.chromedriver);
    let before = tally.passed;
    counted(&mut cargo, tally)?;
    ensure!(tally.passed == before + 1, "the test of the fresh application did not run");
    Ok(())
}

fn built(workspace: &Workspace, program: Program) -> Result<PathBuf> {
    let binary = server::binary(workspace, Profile::Release, program);
    ensure!(binary.exists(), "{} is missing; run `cargo xtask build` first", binary.display());
    Ok(binary)
}

/// Runs tests and adds their results to `tally`. An ignored test is a failure.
fn counted(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let ignored = tally.ignored;
    process::watch(command, |line| tally.add(line))?;
    ensure!(tally.ignored == ignored, "{} tests were ignored", tally.ignored - ignored);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
