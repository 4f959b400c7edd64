//! Settings are said in several places; this finds where they disagree.
//!
//! `throughline settings`, a Markdown table, is the truth. It stands in the README word for word, every environment
//! variable in it stands in `.env.example`, and no file of the repository names one of ours that the server does not
//! know.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace::Workspace};

const OURS: &str = "THROUGHLINE_";
/// Read by the tests, not by the server.
const OF_THE_TESTS: &str = "THROUGHLINE_E2E_";

/// Asks `binary` for its settings and compares the files with them.
pub(crate) fn check(workspace: &Workspace, binary: &Path) -> Result<()> {
    let table = process::output(Command::new(binary).arg("settings"))?;
    let known = names(&table);
    ensure!(!known.is_empty(), "`throughline settings` names no environment variable");
    let read =
        |name: &str| fs::read_to_string(workspace.root.join(name)).with_context(|| format!("cannot read {name}"));

    let mut problems = missing_lines(&table, &read("README.md")?);
    let example = names(&read(".env.example")?);
    problems.extend(known.difference(&example).map(|name| format!(".env.example does not mention {name}")));
    for file in ["README.md", ".env.example", "docker-compose.yml", "Dockerfile", "CONTRIBUTING.md"] {
        problems.extend(
            unknown(&read(file)?, &known).map(|name| format!("{file} mentions {name}, which the server does not know")),
        );
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("{} settings, all documented", known.len());
    Ok(())
}

/// What the README lacks of the table.
fn missing_lines(table: &str, readme: &str) -> Vec<String> {
    let present: BTreeSet<&str> = readme.lines().map(str::trim).collect();
    let missing = table.lines().map(str::trim).filter(|line| !line.is_empty() && !present.contains(line));
    missing.map(|line| format!("README.md lacks this line of `throughline settings`: {line}")).collect()
}

/// The names of ours in `text` that are not among `known`.
fn unknown(text: &str, known: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let ours = names(text).into_iter().filter(|name| name.starts_with(OURS) && !name.starts_with(OF_THE_TESTS));
    ours.filter(|name| !known.contains(name))
}

/// All words that look like environment variables: capitals with an underscore between them.
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
    fn names_are_whole_words() {
        let text = "| `THROUGHLINE_LISTEN` | README | `x=THROUGHLINE_DATA_DIR/y` __ OTEL";
        assert_eq!(names(text), set(&["THROUGHLINE_DATA_DIR", "THROUGHLINE_LISTEN"]));
    }

    #[test]
    fn the_table_has_to_be_in_the_readme_word_for_word() {
        assert!(missing_lines(TABLE, &format!("# Title\n\n{TABLE}\nmore")).is_empty());
        assert_eq!(missing_lines(TABLE, &TABLE.replace("--listen", "--port")).len(), 1);
    }

    #[test]
    fn only_ours_have_to_be_known() {
        let text = "THROUGHLINE_LISTEN THROUGHLINE_OLD OTEL_SERVICE_NAME THROUGHLINE_E2E_FAKETIME";
        assert_eq!(unknown(text, &names(TABLE)).collect::<Vec<_>>(), ["THROUGHLINE_OLD"]);
    }
}
