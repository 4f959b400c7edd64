//! Substring search in the dictionary.
//!
//! `terms_text` is an FTS5 table of trigrams: for each sequence of three characters, the texts that contain it, and where. It
//! indexes texts in lower case, so that SQLite's own case folding does not matter, and stores no copy of them. A search text of
//! three characters or more is looked up there; a shorter one has no trigram, so all texts of the dictionary are read instead. The
//! index never changes the result.

use foldhash::HashSet;
use rusqlite::Connection;

use crate::{
    StoreError,
    read::damaged,
    terms::{MAX_TEXT_CHARS, Term},
};

/// The minimum number of characters of a search text that is looked up in the index.
const TRIGRAM_CHARS: usize = 3;
/// The maximum number of characters of a stored text in lower case: one character becomes at most three.
const MAX_LOWER_CHARS: usize = 3 * MAX_TEXT_CHARS;

/// Adds a text of the dictionary to the index.
pub(crate) fn add(connection: &Connection, term: Term, text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO terms_text (rowid, text) VALUES (?1, ?2)")?
        .execute((term, indexed(&text.to_lowercase())))?;
    Ok(())
}

/// Removes a text of the dictionary from the index.
pub(crate) fn remove(connection: &Connection, term: Term) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM terms_text WHERE rowid = ?1")?.execute([term])?;
    Ok(())
}

/// Returns the texts of the dictionary that contain `text`, ignoring case.
pub(crate) fn containing(connection: &Connection, text: &str) -> Result<HashSet<Term>, StoreError> {
    let lower = text.to_lowercase();
    let chars = lower.chars().count();
    if chars > MAX_LOWER_CHARS {
        return Ok(HashSet::default());
    }
    let is_indexed = chars >= TRIGRAM_CHARS;
    let mut select = connection.prepare_cached(statement(is_indexed))?;
    let mut rows = if is_indexed { select.query([phrase(&lower)])? } else { select.query([])? };
    let mut terms = HashSet::default();
    while let Some(row) = rows.next()? {
        // The index may return false matches, because it replaces NUL by another character.
        if row.get_ref(1)?.as_str().map_err(damaged)?.to_lowercase().contains(&lower) {
            terms.insert(row.get(0)?);
        }
    }
    Ok(terms)
}

fn statement(is_indexed: bool) -> &'static str {
    if is_indexed {
        "SELECT id, terms.text FROM terms_text CROSS JOIN terms ON id = terms_text.rowid WHERE terms_text MATCH ?1"
    } else {
        "SELECT id, text FROM terms"
    }
}

/// Replaces NUL characters, at which FTS5 would end the text.
fn indexed(lower: &str) -> String {
    lower.replace('\0', "\u{1}")
}

/// Quotes a text as an FTS5 phrase: in double quotes nothing is an operator, and a double quote is doubled.
fn phrase(lower: &str) -> String {
    format!("\"{}\"", indexed(lower).replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{schema, terms::Terms};
    use proptest::{collection::vec, prelude::*};

    fn dictionary() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        schema::guard(&connection).unwrap();
        connection.execute_batch(schema::TABLES).unwrap();
        connection
    }

    fn add_all<'a>(connection: &Connection, texts: impl IntoIterator<Item = &'a str>) {
        let mut terms = Terms::new();
        for text in texts {
            terms.number(connection, text, 0).unwrap();
        }
    }

    fn found(connection: &Connection, text: &str) -> Vec<String> {
        let mut found: Vec<String> = containing(connection, text)
            .unwrap()
            .into_iter()
            .map(|term| crate::terms::text(connection, term).unwrap())
            .collect();
        found.sort();
        found
    }

    fn plan(is_indexed: bool) -> Vec<String> {
        let connection = dictionary();
        let mut select = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement(is_indexed))).unwrap();
        let values = if is_indexed { vec!["\"abc\""] } else { vec![] };
        let rows = select.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_text_is_looked_up_in_the_index() {
        // `M` is FTS5's mark for a full-text query; without it, the whole index would be read.
        assert_eq!(
            plan(true),
            ["SCAN terms_text VIRTUAL TABLE INDEX 0:M1", "SEARCH terms USING INTEGER PRIMARY KEY (rowid=?)"]
        );
        assert_eq!(plan(false), ["SCAN terms USING COVERING INDEX sqlite_autoindex_terms_1"]);
    }

    #[test]
    fn operators_and_quotes_are_searched_as_text() {
        let connection = dictionary();
        let texts = [
            "SELECT \"name\" FROM t",
            "a\"b\"c",
            "it's 100%",
            "one AND two",
            "one NOT two",
            "NEAR(one two)",
            "text:one",
            "-other:one",
            "^one*",
            "{text}:one",
            "one + two",
            "(one)",
            "nul\0nul",
            "nul\u{1}nul",
        ];
        add_all(&connection, texts);
        for text in texts {
            assert_eq!(found(&connection, text), [text], "{text:?} finds only itself");
        }
        assert_eq!(found(&connection, "\"name\""), [texts[0]]);
        assert_eq!(found(&connection, "\"\"\""), Vec::<String>::new());
        assert_eq!(found(&connection, "one OR two"), Vec::<String>::new());
        assert_eq!(found(&connection, "tex*"), Vec::<String>::new());
    }

    #[test]
    fn case_is_ignored_as_in_unicode() {
        let connection = dictionary();
        add_all(&connection, ["GET /Über/straße", "ΟΔΥΣΣΕΥΣ", "İstanbul", "日本語のページ", "🦀🦀🦀 crab"]);
        for (text, expected) in [
            ("über", "GET /Über/straße"),
            ("STRAßE", "GET /Über/straße"),
            ("οδυσσευς", "ΟΔΥΣΣΕΥΣ"),
            ("İSTANBUL", "İstanbul"),
            ("日本語", "日本語のページ"),
            ("語の", "日本語のページ"),
            ("🦀🦀🦀", "🦀🦀🦀 crab"),
            ("🦀", "🦀🦀🦀 crab"),
        ] {
            assert_eq!(found(&connection, text), [expected], "{text}");
        }
        assert_eq!(found(&connection, "uber"), Vec::<String>::new(), "accents are not ignored");
    }

    #[test]
    fn a_removed_text_is_not_found() {
        let connection = dictionary();
        add_all(&connection, ["first text"]);
        let mut terms = Terms::new();
        terms.number(&connection, "second text", 5).unwrap();
        assert_eq!(crate::terms::remove(&connection, 5, 10).unwrap(), 1);
        assert_eq!(found(&connection, "text"), ["second text"]);
        let left = "SELECT count(*) FROM terms_text WHERE terms_text MATCH '\"text\"'";
        let left: i64 = connection.query_row(left, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1, "the removed text is not in the index");
        connection.execute_batch("INSERT INTO terms_text (terms_text) VALUES ('integrity-check')").unwrap();
    }

    #[test]
    fn a_search_text_may_have_any_length() {
        let connection = dictionary();
        add_all(&connection, ["x".repeat(600).as_str()]);
        assert_eq!(found(&connection, &"x".repeat(512)).len(), 1);
        assert_eq!(found(&connection, &"x".repeat(513)).len(), 0);
        assert_eq!(found(&connection, &"x".repeat(1_000_000)).len(), 0);
    }

    proptest! {
        /// The texts have few different characters, so that most search texts occur in several of them.
        #[test]
        fn a_search_finds_the_same_as_reading_all_texts(
            texts in vec("[aAbΣσς\"*\0ß İ]{0,8}", 1..20),
            wanted in "[aAbΣσς\"*\0ß İ]{0,5}",
        ) {
            let connection = dictionary();
            add_all(&connection, texts.iter().map(String::as_str));
            let lower = wanted.to_lowercase();
            let mut expected: Vec<String> =
                texts.into_iter().filter(|text| text.to_lowercase().contains(&lower)).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(found(&connection, &wanted), expected);
        }
    }
}
