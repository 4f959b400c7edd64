//! The programs: built by cargo, then started in place of this one.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{dist::Profile, process, progress::Progress, workspace::Workspace};

/// How many steps `build` announces; `start` is one more.
pub(crate) const STEPS: usize = 1;

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

    /// The name of the package and of its binary.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Throughline => "throughline",
            Self::Cruddur => "cruddur",
        }
    }
}

/// The settings that `run` was given.
pub(crate) struct Settings {
    /// `--listen`, or `--port` on 127.0.0.1.
    pub(crate) listen: Option<String>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// Everything after `--`.
    pub(crate) rest: Vec<String>,
}

/// Builds `programs` with their pages in them.
pub(crate) fn build(
    workspace: &Workspace,
    profile: Profile,
    programs: &[Program],
    progress: &mut Progress,
) -> Result<()> {
    progress.step("building the server", || {
        let mut cargo = workspace.cargo(&["build"]);
        for program in programs {
            cargo.args(["--package", program.name()]);
        }
        if profile == Profile::Release {
            cargo.arg("--release");
        }
        process::run(&mut cargo)
    })
}

/// The path of a program that was built.
pub(crate) fn binary(workspace: &Workspace, profile: Profile, program: Program) -> PathBuf {
    workspace.target.join(profile.folder()).join(format!("{}{}", program.name(), std::env::consts::EXE_SUFFIX))
}

/// The server's arguments. A flag goes along only if it was given, so that the environment keeps its say; the data
/// folder falls back to `data` in `root`, wherever the task was called. `is_set` tells whether an environment variable
/// has a value.
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

/// Hands over to the server; returns only where it cannot be started, or at its end where processes cannot be replaced.
pub(crate) fn start(binary: &Path, arguments: &[OsString], progress: &mut Progress) -> Result<ExitCode> {
    progress.last("starting the server");
    hand_over(Command::new(binary).args(arguments)).with_context(|| format!("cannot start {}", binary.display()))
}

#[cfg(unix)]
fn hand_over(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    // The server takes this process over, so that signals reach it.
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
    fn nothing_given_sets_the_data_folder_alone() {
        let settings = Settings { listen: None, data_dir: None, rest: vec![] };
        assert_eq!(arguments(settings, false), [OsString::from("--data-dir"), Path::new("root").join("data").into()]);
    }

    #[test]
    fn the_environment_keeps_its_say() {
        let settings = Settings { listen: None, data_dir: None, rest: vec![] };
        assert!(arguments(settings, true).is_empty());
    }

    #[test]
    fn flags_come_before_what_follows_the_dashes() {
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
