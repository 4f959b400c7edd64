//! Checks that the places that document settings agree.
//!
//! The source is the output of `throughline settings`, a Markdown table. The README must contain it literally,
//! `.env.example` must contain every environment variable in it, and no document may contain one of ours that the
//! server does not have.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace::Workspace};

const OURS: &str = "THROUGHLINE_";
/// The prefix of variables that the tests read, not the server.
const OF_TESTS: &str = "THROUGHLINE_E2E_";

/// Compares the documents with the settings that `binary` prints.
pub(crate) fn check(workspace: &Workspace, binary: &Path) -> Result<()> {
    let table = process::output(Command::new(binary).arg("settings"))?;
    let known = names(&table);
    ensure!(!known.is_empty(), "`throughline settings` printed no environment variable");
    let read =
        |name: &str| fs::read_to_string(workspace.root.join(name)).with_context(|| format!("cannot read {name}"));

    let mut problems = missing_lines(&table, &read("README.md")?);
    let example = names(&read(".env.example")?);
    problems.extend(known.difference(&example).map(|name| format!(".env.example lacks {name}; add it")));
    for file in ["README.md", ".env.example", "docker-compose.yml", "Dockerfile", "CONTRIBUTING.md"] {
        problems.extend(
            unknown(&read(file)?, &known).map(|name| format!("{file} contains {name}, which the server does not have")),
        );
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("all {} settings are documented", known.len());
    Ok(())
}

/// Returns the lines of the table that the README lacks.
fn missing_lines(table: &str, readme: &str) -> Vec<String> {
    let present: BTreeSet<&str> = readme.lines().map(str::trim).collect();
    let missing = table.lines().map(str::trim).filter(|line| !line.is_empty() && !present.contains(line));
    missing.map(|line| format!("README.md lacks this line of `throughline settings`; copy it: {line}")).collect()
}

/// Returns our variables in `text` that are not in `known`.
fn unknown(text: &str, known: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let ours = names(text).into_iter().filter(|name| name.starts_with(OURS) && !name.starts_with(OF_TESTS));
    ours.filter(|name| !known.contains(name))
}

/// Returns all words that look like environment variables: upper-case words with an underscore inside.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'));
    words.filter(|word| word.trim_matches('_').contains('_')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| flag | environment |\n| --- | --- |\n| `--listen` | `THROUGHLINE_LISTEN` |\n";

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_matched_as_whole_words() {
        let text = "| `THROUGHLINE_LISTEN` | README | `x=THROUGHLINE_DATA_DIR/y` __ OTEL";
        assert_eq!(names(text), set(&["THROUGHLINE_DATA_DIR", "THROUGHLINE_LISTEN"]));
    }

    #[test]
    fn the_readme_must_contain_the_table_literally() {
        assert!(missing_lines(TABLE, &format!("# Title\n\n{TABLE}\nmore")).is_empty());
        assert_eq!(missing_lines(TABLE, &TABLE.replace("--listen", "--port")).len(), 1);
    }

    #[test]
    fn variables_of_other_programs_are_not_checked() {
        let text = "THROUGHLINE_LISTEN THROUGHLINE_OLD OTEL_SERVICE_NAME THROUGHLINE_E2E_FAKETIME";
        assert_eq!(unknown(text, &names(TABLE)).collect::<Vec<_>>(), ["THROUGHLINE_OLD"]);
    }
}
