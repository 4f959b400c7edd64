//! Settings are said in four places; this finds where they disagree.
//!
//! `throughline --help` is the truth. Each environment variable that it shows has to stand in the README and in
//! `.env.example`, and none of ours may stand in a file of the repository that the binary does not know.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace::Workspace};

const OURS: &str = "THROUGHLINE_";
/// Read by the tests, not by the server.
const OF_THE_TESTS: &str = "THROUGHLINE_E2E_";

/// Asks `binary` for its settings and compares the files with them.
pub(crate) fn check(workspace: &Workspace, binary: &Path) -> Result<()> {
    let help = process::output(Command::new(binary).arg("--help"))?;
    let known = shown_in_help(&help);
    ensure!(!known.is_empty(), "{} --help shows no setting with an environment variable", binary.display());
    let read =
        |name: &str| fs::read_to_string(workspace.root.join(name)).with_context(|| format!("cannot read {name}"));

    let mut problems = Vec::new();
    for file in ["README.md", ".env.example"] {
        let named = names(&read(file)?);
        problems.extend(known.difference(&named).map(|name| format!("{file} does not mention {name}")));
    }
    for file in ["README.md", ".env.example", "docker-compose.yml", "Dockerfile", "CONTRIBUTING.md"] {
        let named = names(&read(file)?);
        let unknown = named.difference(&known).filter(|name| name.starts_with(OURS) && !name.starts_with(OF_THE_TESTS));
        problems.extend(unknown.map(|name| format!("{file} mentions {name}, which the server does not know")));
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("{} settings, each in README.md and .env.example", known.len());
    Ok(())
}

/// The variables in `[env: NAME=value]`.
fn shown_in_help(help: &str) -> BTreeSet<String> {
    let start = |rest: &str| {
        let end = rest.find(|letter| !is_of_a_name(letter)).unwrap_or(rest.len());
        rest[..end].to_owned()
    };
    help.split("[env: ").skip(1).map(start).filter(|name| !name.is_empty()).collect()
}

/// All words that look like environment variables: capitals with at least one underscore.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter| !is_of_a_name(letter));
    words.filter(|word| word.trim_matches('_').contains('_')).map(str::to_owned).collect()
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn help_shows_variables_with_and_without_a_value() {
        let help =
            "  --listen <A>  [env: THROUGHLINE_LISTEN=] [default: x]\n  --key [env: HONEYCOMB_API_KEY]\n  --other\n";
        assert_eq!(shown_in_help(help), set(&["HONEYCOMB_API_KEY", "THROUGHLINE_LISTEN"]));
    }

    #[test]
    fn names_are_whole_words() {
        let text = "| `THROUGHLINE_LISTEN` | README | `x=THROUGHLINE_DATA_DIR/y` __ OTEL";
        assert_eq!(names(text), set(&["THROUGHLINE_DATA_DIR", "THROUGHLINE_LISTEN"]));
    }
}
