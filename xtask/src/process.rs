//! Child processes, whose output goes to the terminal and whose command lines are in errors.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Runs `command` with its output on the terminal.
///
/// # Errors
///
/// The command cannot be started, or its exit code is not 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    ensure!(status.success(), "{} ended with {status}", show(command));
    Ok(())
}

/// Runs `command` and returns its standard output. Its standard error goes to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", show(command)))?;
    ensure!(output.status.success(), "{} ended with {}", show(command), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote bytes that are not UTF-8", show(command)))
}

/// Runs `command`, and prints every line of its standard output and passes it to `look`.
pub(crate) fn watch(command: &mut Command, mut look: impl FnMut(&str)) -> Result<()> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", show(command)))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        let mut terminal = std::io::stdout().lock();
        while reader.read_until(b'\n', &mut line)? > 0 {
            terminal.write_all(&line)?;
            terminal.flush()?;
            look(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", show(command));
    }
    Ok(())
}

/// Returns the first program called `name` in the folders of `path`.
pub(crate) fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(path).map(|folder| folder.join(&file)).find(|candidate| is_program(candidate))
}

/// Returns the first program called `name` in the folders of `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH").unwrap_or_default(), name)
}

/// Returns a `PATH` that starts with `folders`.
pub(crate) fn path_with(folders: &[PathBuf]) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(std::env::split_paths(&path));
    std::env::join_paths(all).context("a folder has a character that is not allowed in PATH")
}

/// Returns the command line, in backticks.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    format!("`{line}`")
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_contain_the_command_line() {
        let error = run(Command::new("no-such-program-here").arg("--flag")).unwrap_err();
        assert!(error.to_string().contains("`no-such-program-here --flag`"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn only_programs_are_found() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find_in(folder.path().as_os_str(), "tool"), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_in(folder.path().as_os_str(), "tool"), Some(file));
    }
}
