//! Words to avoid in this repository, because the field has its own term or plain English a simpler word.
//!
//! Comments, strings and names are checked: words in names are separated by `_` or by a capital letter.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::SKIPPED;
use crate::fingerprint::entries;

/// A word or phrase to avoid, and its replacement.
struct Word {
    avoid: &'static str,
    write: &'static str,
}

const fn word(avoid: &'static str, write: &'static str) -> Word {
    Word { avoid, write }
}

const WORDS: [Word; 35] = [
    word("door", "receiver"),
    word("doors", "receivers"),
    word("ticket", "ingest token"),
    word("tickets", "ingest tokens"),
    word("scrub", "redact"),
    word("scrubbed", "redacted"),
    word("scrubber", "redactor"),
    word("set aside", "quarantined"),
    word("sets aside", "quarantines"),
    word("stamp", "enrich"),
    word("stamped", "enriched"),
    word("judge", "sampler"),
    word("judged", "sampled, or decided"),
    word("cure", "help"),
    word("patience", "timeout"),
    word("far off", "clock skew"),
    word("anew", "again"),
    word("likewise", "also"),
    word("of late", "recently"),
    word("at the least", "at least"),
    word("never not at all", "at least once"),
    word("what comes", "the noun: the request, the record"),
    word("who asks", "the client"),
    word("who comes", "the client"),
    word("whoever", "the noun: the client, the application"),
    word("whomever", "the noun: the client, the application"),
    word("stands", "is"),
    word("tells", "returns, or reports"),
    word("is told", "is reported, or receives"),
    word("are told", "are reported, or receive"),
    word("was told", "was reported, or received"),
    word("to be had", "available"),
    word("by and by", "gradually"),
    word("all the same", "nevertheless, or nothing"),
    word("trusted listen", "OTLP listen"),
];

/// Files that may contain a word: the end of the path, and the word, or `*` for all words.
const EXCEPTIONS: [(&str, &str); 7] = [
    // Former names of settings and of the wire format, which still work.
    ("crates/context/src/ingest_token.rs", "ticket"),
    ("crates/intake/src/receivers.rs", "ticket"),
    ("crates/server/src/init.rs", "ticket"),
    ("crates/server/src/settings/cli.rs", "*"),
    ("crates/server/tests/it/former_names.rs", "*"),
    // The name of a table in version 1.
    ("crates/store/src/outbox.rs", "set aside"),
    ("xtask/src/tidy/words.rs", "*"),
];

const EXTENSIONS: [&str; 12] = ["css", "example", "html", "js", "md", "mjs", "py", "rs", "sh", "toml", "yaml", "yml"];

/// Folders that are not searched, in addition to those of build output.
const NOT_SEARCHED: [&str; 3] = [".git", "data", "ui"];

/// Checks every text of the repository.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    collect(root, root, &mut problems)?;
    Ok(problems)
}

fn collect(root: &Path, folder: &Path, problems: &mut Vec<String>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            if !SKIPPED.iter().chain(&NOT_SEARCHED).any(|name| path.ends_with(name)) {
                collect(root, &path, problems)?;
            }
            continue;
        }
        let is_text = path.extension().is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known));
        if !is_text {
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (number, line) in text.lines().enumerate() {
            for Word { avoid, write } in find(line) {
                if !is_exception(&name, avoid) {
                    problems.push(format!("{name}:{}: `{avoid}`; write: {write}", number + 1));
                }
            }
        }
    }
    Ok(())
}

fn is_exception(name: &str, avoid: &str) -> bool {
    EXCEPTIONS.iter().any(|(end, word)| name.ends_with(end) && (*word == avoid || *word == "*"))
}

/// Returns the words to avoid in a line.
fn find(line: &str) -> impl Iterator<Item = &'static Word> {
    let line = format!(" {} ", words(line));
    WORDS.iter().filter(move |word| line.contains(&format!(" {} ", word.avoid)))
}

/// Returns the words of a line in lower case, separated by one space.
fn words(line: &str) -> String {
    let mut words = String::with_capacity(line.len());
    let mut was_lower = false;
    for letter in line.chars() {
        if !letter.is_alphanumeric() {
            if !words.ends_with(' ') {
                words.push(' ');
            }
            was_lower = false;
            continue;
        }
        if letter.is_uppercase() && was_lower {
            words.push(' ');
        }
        was_lower = letter.is_lowercase();
        words.extend(letter.to_lowercase());
    }
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<&'static str> {
        find(line).map(|word| word.avoid).collect()
    }

    #[test]
    fn words_are_reported_in_comments_names_and_settings() {
        assert_eq!(found("/// Whoever opens the door."), ["door", "whoever"]);
        assert_eq!(found("fn the_door_is_open() -> DoorState {"), ["door"]);
        assert_eq!(found("const TICKET_KEY: &str = \"--ticket-key\";"), ["ticket"]);
        assert_eq!(found("let isSetAside = trustedListen;"), ["set aside", "trusted listen"]);
        assert_eq!(found("it is set  aside"), ["set aside"]);
    }

    #[test]
    fn parts_of_words_are_not_reported() {
        assert_eq!(found("a timestamp, understands, indoor"), Vec::<&str>::new());
    }

    #[test]
    fn the_list_names_each_word_once() {
        let mut avoid: Vec<_> = WORDS.iter().map(|word| word.avoid).collect();
        avoid.sort_unstable();
        avoid.dedup();
        assert_eq!(avoid.len(), WORDS.len());
    }
}
