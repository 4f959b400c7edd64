//! The dictionary of names, services, users and routes that the rows of traces refer to.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::search;

/// The maximum length of a name, service, user or route in the rows of traces, in characters; the rest is cut off.
pub const MAX_TEXT_CHARS: usize = 512;
/// The number of texts that are cached in memory.
const REMEMBERED: usize = 32_768;
/// The size of the cached texts, in bytes.
const REMEMBERED_BYTES: usize = 4 << 20;
/// The binary logarithm of the number of traces that share an age. The age of a text that is in use is updated once per age.
const AGE_BITS: u32 = 16;

/// Returns the age in which the trace with this number was created.
pub(crate) const fn age(trace_no: i64) -> i64 {
    trace_no >> AGE_BITS
}

/// The number of a text in the dictionary.
pub(crate) type Term = i64;

/// The dictionary as the writer uses it: the table, with recently used texts cached in memory.
#[derive(Debug)]
pub(crate) struct Terms {
    known: HashMap<Arc<str>, (Term, i64)>,
    /// The texts by their numbers.
    texts: HashMap<Term, Arc<str>>,
    bytes: usize,
}

impl Terms {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), texts: HashMap::new(), bytes: 0 }
    }

    /// Clears the cache: its texts may not be in the file.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.texts.clear();
        self.bytes = 0;
    }

    /// Returns the text with this number.
    pub(crate) fn text(&self, connection: &Connection, term: Term) -> rusqlite::Result<String> {
        match self.texts.get(&term) {
            Some(text) => Ok(text.as_ref().to_owned()),
            None => text(connection, term),
        }
    }

    /// Returns the number of a text, after cutting it to [`MAX_TEXT_CHARS`]; the text is added if it is new. It is kept at least
    /// as long as the traces of this `age`.
    pub(crate) fn number(&mut self, connection: &Connection, text: &str, age: i64) -> rusqlite::Result<Term> {
        let text = beginning(text);
        if let Some((term, seen)) = self.known.get_mut(text) {
            if *seen < age {
                connection
                    .prepare_cached("UPDATE terms SET age = ?2 WHERE id = ?1 AND age < ?2")?
                    .execute(params![*term, age])?;
                *seen = age;
            }
            return Ok(*term);
        }
        let found = connection
            .prepare_cached("SELECT id, age FROM terms WHERE text = ?1")?
            .query_row([text], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        let term = match found {
            Some((term, seen)) => {
                if seen < age {
                    connection.prepare_cached("UPDATE terms SET age = ?2 WHERE id = ?1")?.execute([term, age])?;
                }
                term
            }
            None => {
                let term = connection
                    .prepare_cached("INSERT INTO terms (text, age) VALUES (?1, ?2)")?
                    .insert(params![text, age])?;
                search::add(connection, term, text)?;
                term
            }
        };
        if self.known.len() >= REMEMBERED || self.bytes + text.len() > REMEMBERED_BYTES {
            self.clear();
        }
        self.bytes += text.len();
        let text: Arc<str> = text.into();
        self.texts.insert(term, Arc::clone(&text));
        self.known.insert(text, (term, age));
        Ok(term)
    }
}

/// Returns the text with this number from the table.
pub(crate) fn text(connection: &Connection, term: Term) -> rusqlite::Result<String> {
    connection.prepare_cached("SELECT text FROM terms WHERE id = ?1")?.query_row([term], |row| row.get(0))
}

/// Removes at most `limit` texts that are older than `age`. Returns the number of removed texts.
pub(crate) fn remove(connection: &Connection, age: i64, limit: usize) -> rusqlite::Result<usize> {
    let mut delete = connection
        .prepare_cached("DELETE FROM terms WHERE id IN (SELECT id FROM terms WHERE age < ?1 LIMIT ?2) RETURNING id")?;
    let removed: Vec<Term> = delete.query_map(params![age, limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for term in &removed {
        search::remove(connection, *term)?;
    }
    Ok(removed.len())
}

/// Returns the part of a text that is kept.
fn beginning(text: &str) -> &str {
    if text.len() <= MAX_TEXT_CHARS {
        return text;
    }
    text.char_indices().nth(MAX_TEXT_CHARS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_characters() {
        assert_eq!(beginning("short"), "short");
        assert_eq!(beginning(&"é".repeat(600)).chars().count(), 512);
        assert_eq!(beginning(&"é".repeat(300)).chars().count(), 300);
        assert_eq!(beginning(&"x".repeat(512)).len(), 512);
    }

    #[test]
    fn equal_texts_share_a_number_and_their_age_is_updated() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::TABLES).unwrap();
        let mut terms = Terms::new();
        let first = terms.number(&connection, "a", 0).unwrap();
        assert_ne!(terms.number(&connection, "b", 0).unwrap(), first);
        let age = |term: Term| -> i64 {
            connection.query_row("SELECT age FROM terms WHERE id = ?1", [term], |row| row.get(0)).unwrap()
        };
        assert_eq!((terms.number(&connection, "a", 3).unwrap(), age(first)), (first, 3));
        assert_eq!(terms.text(&connection, first).unwrap(), "a");
        terms.clear();
        assert_eq!(terms.text(&connection, first).unwrap(), "a", "from the table");
        assert_eq!((terms.number(&connection, "a", 2).unwrap(), age(first)), (first, 3), "it never gets older");
        assert_eq!((terms.number(&connection, "a", 4).unwrap(), age(first)), (first, 4));
    }
}
