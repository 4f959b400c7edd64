//! The programs: built by cargo, then started in place of this process.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    dist::{self, Outdated, Profile},
    process,
    progress::{Progress, show},
    workspace::Workspace,
};

/// The number of steps of [`build`].
pub(crate) const STEPS: usize = 1;
/// The steps of `run` and their durations in seconds at the first run on two cores: compile the pages, compile the server and the
/// bundler, bundle the pages, start the server.
const RUN_STEPS_S: [u32; 4] = [135, 160, 8, 1];

/// A server of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Receivers, store, inspector and forwarder.
    Throughline,
    /// The demo application, with all of that embedded.
    Cruddur,
}

impl Program {
    /// Every program that is shipped.
    pub(crate) const ALL: [Self; 2] = [Self::Throughline, Self::Cruddur];

    /// Returns the name of the package and of its binary.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Throughline => "throughline",
            Self::Cruddur => "cruddur",
        }
    }
}

/// The arguments of `run`.
pub(crate) struct Settings {
    /// `--listen`, or `--port` on 127.0.0.1.
    pub(crate) listen: Option<String>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// The arguments after `--`.
    pub(crate) rest: Vec<String>,
}

/// Builds `programs` with their pages in them.
pub(crate) fn build(
    workspace: &Workspace,
    profile: Profile,
    programs: &[Program],
    progress: &mut Progress,
) -> Result<()> {
    let names: Vec<&str> = programs.iter().map(|program| program.name()).collect();
    progress.step("compiling the server", || process::run(&mut compile(workspace, profile, &names)))
}

fn compile(workspace: &Workspace, profile: Profile, packages: &[&str]) -> Command {
    let mut cargo = workspace.cargo(&["build"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    cargo
}

/// The demo application, built and ready to be started.
pub(crate) struct Demo {
    pub(crate) path: PathBuf,
    pub(crate) progress: Progress,
}

/// Builds the demo application and its pages.
pub(crate) fn build_demo(workspace: &Workspace, profile: Profile) -> Result<Demo> {
    let path = binary(workspace, profile, Program::Cruddur);
    let progress = match profile {
        Profile::Dev => {
            let mut progress = Progress::with_estimate(&RUN_STEPS_S);
            if !path.exists() {
                println!(
                    "the first run compiles everything: about {} on two cores; it can be interrupted and continued",
                    show(Duration::from_secs(RUN_STEPS_S.iter().map(|seconds| u64::from(*seconds)).sum()))
                );
            }
            let outdated = Outdated::find(workspace, profile)?;
            outdated.compile(workspace, &mut progress)?;
            // A server that is not optimized reads its pages from disk, so it is compiled before they are bundled, together with
            // the bundler: cargo is slowest where few crates can be compiled at once.
            dist::make_outputs(workspace)?;
            progress.step("compiling the server", || {
                // Without the encoder of compressed copies; the demo has no features.
                let mut cargo = compile(workspace, profile, &[Program::Cruddur.name(), dist::BUNDLER]);
                process::run(cargo.arg("--no-default-features"))
            })?;
            outdated.bundle(workspace, &mut progress)?;
            progress
        }
        Profile::Release => {
            let mut progress = Progress::new(dist::STEPS + STEPS + 1);
            dist::build(workspace, profile, &mut progress)?;
            build(workspace, profile, &[Program::Cruddur], &mut progress)?;
            progress
        }
    };
    Ok(Demo { path, progress })
}

/// Returns the path of a program that was built.
pub(crate) fn binary(workspace: &Workspace, profile: Profile, program: Program) -> PathBuf {
    workspace.target.join(profile.folder()).join(format!("{}{}", program.name(), std::env::consts::EXE_SUFFIX))
}

/// Returns the server's arguments. A flag is passed only if it was given, so that environment variables apply
/// otherwise. The default of the data directory is `data` in `root`, wherever the task was called. `is_set` returns
/// whether an environment variable has a value.
pub(crate) fn default_settings(root: &Path, settings: Settings, is_set: impl Fn(&str) -> bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(listen) = settings.listen {
        arguments.extend(["--listen".into(), listen.into()]);
    }
    let elsewhere = || {
        is_set("THROUGHLINE_DATA_DIR")
            || settings.rest.iter().any(|word| word == "--data-dir" || word.starts_with("--data-dir="))
    };
    let data_dir = match settings.data_dir {
        Some(given) => Some(given),
        None => (!elsewhere()).then(|| root.join("data")),
    };
    if let Some(data_dir) = data_dir {
        arguments.extend(["--data-dir".into(), data_dir.into()]);
    }
    arguments.extend(settings.rest.into_iter().map(OsString::from));
    arguments
}

/// Replaces this process by the server. Returns only if the server cannot be started or, on systems that cannot replace a process,
/// at the server's end.
pub(crate) fn start(binary: &Path, arguments: &[OsString], mut progress: Progress) -> Result<ExitCode> {
    progress.last("starting the server");
    hand_over(Command::new(binary).args(arguments)).with_context(|| format!("cannot start {}", binary.display()))
}

#[cfg(unix)]
fn hand_over(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    // The server replaces this process, so that signals reach it.
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn hand_over(command: &mut Command) -> Result<ExitCode> {
    Ok(if command.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(settings: Settings, is_set: bool) -> Vec<OsString> {
        default_settings(Path::new("root"), settings, |_| is_set)
    }

    #[test]
    fn without_arguments_only_the_data_folder_is_set() {
        let settings = Settings { listen: None, data_dir: None, rest: vec![] };
        assert_eq!(arguments(settings, false), [OsString::from("--data-dir"), Path::new("root").join("data").into()]);
    }

    #[test]
    fn environment_variables_apply_without_a_flag() {
        let settings = Settings { listen: None, data_dir: None, rest: vec![] };
        assert!(arguments(settings, true).is_empty());
    }

    #[test]
    fn flags_come_before_arguments_after_the_dashes() {
        let settings =
            Settings { listen: Some("[::1]:80".into()), data_dir: Some("d".into()), rest: vec!["--x".into()] };
        assert_eq!(arguments(settings, true), ["--listen", "[::1]:80", "--data-dir", "d", "--x"]);
    }

    #[test]
    fn a_data_folder_after_the_dashes_is_not_given_twice() {
        for rest in [vec!["--data-dir".to_owned(), "x".to_owned()], vec!["--data-dir=x".to_owned()]] {
            let settings = Settings { listen: None, data_dir: None, rest: rest.clone() };
            assert_eq!(arguments(settings, false), rest.into_iter().map(OsString::from).collect::<Vec<_>>());
        }
    }
}
