//! Build, run and test tasks of the workspace: `cargo xtask help` lists them.
//!
//! Tools that are missing are installed. No task needs a shell.

mod bench;
mod chromium;
mod clients;
mod dist;
mod examples;
mod features;
mod fingerprint;
mod fresh_app;
mod other_browsers;
mod package;
mod process;
mod progress;
mod server;
mod settings;
mod soak;
mod soak_fuzz;
mod tally;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{
    bench::Bench,
    dist::Profile,
    progress::Progress,
    server::{Program, Settings, default_settings},
    soak::Soak,
    workspace::Workspace,
};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build what changed, without optimization, and start the demo application with everything embedded
    Run(Run),
    /// Build the pages and the programs, `throughline` and `cruddur`
    Build(Build),
    /// Build the pages only, with their compressed copies
    Dist(Build),
    /// Build the published packages, and install the program from them
    Package,
    /// Install the build tools that are missing
    Tools,
    /// Run every check and every test
    Test(Test),
    /// Run the checks that take too long for every change
    Soak(Soak),
    /// Measure performance, and compare it with other libraries
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Args)]
struct Build {
    /// Build quickly, without optimization
    #[arg(long)]
    dev: bool,
}

#[derive(Args)]
struct Run {
    /// Build as shipped: optimized, which takes several times as long
    #[arg(long)]
    release: bool,
    /// Listen on this port of 127.0.0.1
    #[arg(long, conflicts_with = "listen")]
    port: Option<u16>,
    /// Listen on this address, `host:port`
    #[arg(long)]
    listen: Option<String>,
    /// The data directory [default: data in the repository's root]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Arguments for the server
    #[arg(last = true)]
    server: Vec<String>,
}

#[derive(Args)]
struct Test {
    /// Run only this step
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
    /// List the steps
    #[arg(long, conflicts_with = "only")]
    list: bool,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match task {
        Task::Run(run) => {
            let profile = Profile::from_dev(!run.release);
            let settings = Settings {
                listen: run.listen.or(run.port.map(|port| format!("127.0.0.1:{port}"))),
                data_dir: run.data_dir,
                rest: run.server,
            };
            let arguments = default_settings(&workspace.root, settings, |name| {
                std::env::var_os(name).is_some_and(|value| !value.is_empty())
            });
            let binary = server::build_demo(&workspace, profile)?;
            server::start(&binary.path, &arguments, binary.progress)
        }
        Task::Build(Build { dev }) => {
            let profile = Profile::from_dev(dev);
            let mut progress = Progress::new(dist::STEPS + server::STEPS);
            dist::build(&workspace, profile, &mut progress)?;
            server::build(&workspace, profile, &Program::ALL, &mut progress)?;
            for program in Program::ALL {
                println!("{}", server::binary(&workspace, profile, program).display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Dist(Build { dev }) => {
            dist::build(&workspace, Profile::from_dev(dev), &mut Progress::new(dist::STEPS))?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Package => {
            package::build(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Tools => {
            tools::ensure(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Test(Test { list: true, .. }) => {
            test::list();
            Ok(ExitCode::SUCCESS)
        }
        Task::Test(Test { only, .. }) => test::run(&workspace, only.as_deref()),
        Task::Soak(soak) => soak::run(&workspace, &soak),
        Task::Bench(target) => bench::run(&workspace, &target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_two_dashes_are_passed_to_the_server() {
        let cli = Cli::parse_from(["xtask", "run", "--port", "4000", "--", "--otlp-listen", "x"]);
        let Task::Run(run) = cli.task else { panic!("not run") };
        assert_eq!(run.port, Some(4000));
        assert_eq!(run.server, ["--otlp-listen", "x"]);
    }

    #[test]
    fn port_and_listen_exclude_each_other() {
        assert!(Cli::try_parse_from(["xtask", "run", "--port", "1", "--listen", "[::1]:2"]).is_err());
    }
}
