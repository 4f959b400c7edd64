//! Finds installed programs and their versions.

use std::{ffi::OsStr, path::PathBuf, process::Command};

use crate::process;

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All programs have the required version. The folder of the first.
    Right(PathBuf),
    /// A program has another version, which is given.
    Other(String),
    /// A program is not installed, or does not run.
    Missing,
}

/// Searches the folders of `path` for all of `programs`.
pub(super) fn look(programs: &[&str], wanted: &str, path: &OsStr) -> Found {
    let mut folder = None;
    for program in programs {
        match version(program, path) {
            None => return Found::Missing,
            Some((_, version)) if version != wanted => return Found::Other(version),
            Some((found, _)) => _ = folder.get_or_insert(found),
        }
    }
    folder.map_or(Found::Missing, Found::Right)
}

/// Returns the folder and the version of the first `program` in the folders of `path`.
pub(super) fn version(program: &str, path: &OsStr) -> Option<(PathBuf, String)> {
    let program = process::find_in(path, program)?;
    let output = Command::new(&program).arg("--version").output().ok().filter(|output| output.status.success())?;
    let version = parse_version(&String::from_utf8_lossy(&output.stdout))?.to_owned();
    Some((program.parent()?.to_owned(), version))
}

/// Returns the version in the output of `--version`: the first word that starts with a digit.
fn parse_version(text: &str) -> Option<&str> {
    text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_from_the_output_of_each_tool() {
        assert_eq!(parse_version("trunk 0.21.14\n"), Some("0.21.14"));
        assert_eq!(parse_version("wasm-bindgen 0.2.129 (3b1cb9c)\n"), Some("0.2.129"));
        assert_eq!(parse_version("wasm-opt version 132 (version_132)\n"), Some("132"));
        assert_eq!(parse_version("no version here\n"), None);
    }

    #[cfg(unix)]
    mod programs {
        use super::*;
        use std::path::Path;

        /// Creates a program. Another process writes the file: a thread of this process that forks meanwhile would have it open for
        /// writing until it executes a program, and until then the file cannot be executed ("text file busy").
        fn program(folder: &Path, name: &str, version: &str) {
            let write = r#"printf '#!/bin/sh\necho %s\n' "$2" > "$1" && chmod 755 "$1""#;
            let mut shell = Command::new("/bin/sh");
            let status = shell.args(["-c", write, "write"]).arg(folder.join(name)).arg(version).status().unwrap();
            assert!(status.success());
        }

        #[test]
        fn all_programs_must_have_the_required_version() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().as_os_str();
            assert_eq!(look(&["one", "two"], "1.0.0", path), Found::Missing);
            program(folder.path(), "one", "one 1.0.0");
            assert_eq!(look(&["one", "two"], "1.0.0", path), Found::Missing);
            program(folder.path(), "two", "two 0.9.0");
            assert_eq!(look(&["one", "two"], "1.0.0", path), Found::Other("0.9.0".to_owned()));
            program(folder.path(), "two", "two 1.0.0");
            assert_eq!(look(&["one", "two"], "1.0.0", path), Found::Right(folder.path().to_owned()));
        }

        #[test]
        fn a_program_that_cannot_report_its_version_is_missing() {
            let folder = tempfile::tempdir().unwrap();
            program(folder.path(), "one", "one 1.0.0; exit 3");
            assert_eq!(look(&["one"], "1.0.0", folder.path().as_os_str()), Found::Missing);
        }
    }
}
