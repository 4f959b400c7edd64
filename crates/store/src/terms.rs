//! The dictionary of names, services and users that the rows of traces are made of.

use foldhash::{HashMap, HashMapExt as _};
use rusqlite::{Connection, OptionalExtension as _, params};

/// How much of a name, a service or a user is kept in rows that lists are made of, in characters.
const TEXT_CHARS: usize = 512;
/// How many texts are remembered beside the file.
const REMEMBERED: usize = 32_768;
/// How many bytes of them.
const REMEMBERED_BYTES: usize = 4 << 20;
/// So many traces, as a power of two, share an age: a text that is used says so once in each.
const AGE_BITS: u32 = 16;

/// The age in which a trace with this number was new.
pub(crate) const fn age(trace_no: i64) -> i64 {
    trace_no >> AGE_BITS
}

/// The number of a text in the file.
pub(crate) type Term = i64;

/// The writer's side of the dictionary: the file's, with what was used of late in memory.
#[derive(Debug)]
pub(crate) struct Terms {
    known: HashMap<Box<str>, (Term, i64)>,
    bytes: usize,
}

impl Terms {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), bytes: 0 }
    }

    /// Forgets what may not be in the file after all.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }

    /// The number of a text, of which only the beginning counts. It stays as long as a trace that is not older than `age` does.
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
            None => connection
                .prepare_cached("INSERT INTO terms (text, age) VALUES (?1, ?2)")?
                .insert(params![text, age])?,
        };
        if self.known.len() >= REMEMBERED || self.bytes + text.len() > REMEMBERED_BYTES {
            self.clear();
        }
        self.bytes += text.len();
        self.known.insert(text.into(), (term, age));
        Ok(term)
    }
}

/// As much of a text as is kept.
fn beginning(text: &str) -> &str {
    if text.len() <= TEXT_CHARS {
        return text;
    }
    text.char_indices().nth(TEXT_CHARS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_counted_in_characters() {
        assert_eq!(beginning("short"), "short");
        assert_eq!(beginning(&"é".repeat(600)).chars().count(), 512);
        assert_eq!(beginning(&"é".repeat(300)).chars().count(), 300);
        assert_eq!(beginning(&"x".repeat(512)).len(), 512);
    }

    #[test]
    fn equal_texts_have_one_number_and_say_when_they_were_used() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::TABLES).unwrap();
        let mut terms = Terms::new();
        let first = terms.number(&connection, "a", 0).unwrap();
        assert_ne!(terms.number(&connection, "b", 0).unwrap(), first);
        let age = |term: Term| -> i64 {
            connection.query_row("SELECT age FROM terms WHERE id = ?1", [term], |row| row.get(0)).unwrap()
        };
        assert_eq!((terms.number(&connection, "a", 3).unwrap(), age(first)), (first, 3));
        terms.clear();
        assert_eq!((terms.number(&connection, "a", 2).unwrap(), age(first)), (first, 3), "it never gets older");
        assert_eq!((terms.number(&connection, "a", 4).unwrap(), age(first)), (first, 4));
    }
}
