//! The formats of the files: which version a file has, and whether this program reads it.
//!
//! Each file says in its header what it is (`application_id`) and in which version (`user_version`). A file of a later version
//! is refused by its name: what this program does not know it must not change.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;

/// The format of one of the files.
#[derive(Debug)]
pub(crate) struct Format {
    /// The name of the file in its directory.
    pub(crate) file: &'static str,
    /// What tells such a file from any other `SQLite` file.
    application_id: i64,
    /// The same in the formats before the first release, which are not read.
    unreleased_id: i64,
    /// What each version adds to the one before it. A file has as many of them as its `user_version` says.
    steps: &'static [&'static str],
}

impl Format {
    pub(crate) const fn new(
        file: &'static str,
        application_id: &[u8; 4],
        unreleased_id: &[u8; 4],
        steps: &'static [&'static str],
    ) -> Self {
        let (id, old) = (u32::from_be_bytes(*application_id), u32::from_be_bytes(*unreleased_id));
        Self { file, application_id: id as i64, unreleased_id: old as i64, steps }
    }

    /// The version that this program writes.
    pub(crate) const fn version(&self) -> i64 {
        self.steps.len() as i64
    }

    /// The version of a file, 0 if there is nothing in it yet.
    ///
    /// # Errors
    /// The file is of another program, or of a version that this one does not read.
    pub(crate) fn found(&self, connection: &Connection, file: &Path) -> Result<i64, StoreError> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(named(file));
        let (application_id, found) = (pragma("application_id")?, pragma("user_version")?);
        if application_id == self.unreleased_id {
            return Err(StoreError::UnreleasedFormat { file: file.to_owned(), supported: self.version() });
        }
        if application_id == self.application_id {
            return match found {
                ..1 => Err(StoreError::Corrupt(format!(
                    "{} has format version {found}, and the first one is 1",
                    file.display()
                ))),
                found if found > self.version() => {
                    Err(StoreError::NewerFormat { file: file.to_owned(), found, supported: self.version() })
                }
                found => Ok(found),
            };
        }
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if (application_id, found, objects) == (0, 0, 0) {
            Ok(0)
        } else {
            Err(StoreError::Corrupt(format!("{} is a database of another program", file.display())))
        }
    }

    /// Whether a file can be read as it is.
    ///
    /// # Errors
    /// As [`Format::found`], and the file is empty or of an earlier version.
    pub(crate) fn check(&self, connection: &Connection, file: &Path) -> Result<(), StoreError> {
        match self.found(connection, file)? {
            0 => Err(StoreError::Corrupt(format!("{} is empty", file.display()))),
            found if found < self.version() => {
                Err(StoreError::OlderFormat { file: file.to_owned(), found, supported: self.version() })
            }
            _ => Ok(()),
        }
    }

    /// Brings a file to the current version with all steps or none: a step that fails leaves the file as it was. `made` is
    /// run in the same transaction if the file was empty.
    ///
    /// # Errors
    /// As [`Format::found`], or the database's.
    pub(crate) fn upgrade(
        &self,
        connection: &mut Connection,
        file: &Path,
        made: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.found(connection, file)? == self.version() {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been quicker.
        let found = self.found(&transaction, file)?;
        let steps = usize::try_from(found).ok().and_then(|found| self.steps.get(found..));
        for step in steps.expect("a version that is found is one of the steps") {
            transaction.execute_batch(step)?;
        }
        if found == 0 {
            made(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", self.application_id)?;
        transaction.pragma_update(None, "user_version", self.version())?;
        transaction.commit()?;
        Ok(())
    }
}

/// Puts the name of the file in front of what is wrong with it.
pub(crate) fn named<'f>(file: &'f Path) -> impl Fn(rusqlite::Error) -> StoreError + 'f {
    |error| match StoreError::from(error) {
        StoreError::Corrupt(reason) => StoreError::Corrupt(format!("{}: {reason}", file.display())),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER) STRICT";
    const ONE: Format = Format::new("test.db", b"TEST", b"OLDT", &[FIRST]);
    const TWO: Format = Format::new(
        "test.db",
        b"TEST",
        b"OLDT",
        &[FIRST, "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1"],
    );
    const BROKEN: Format =
        Format::new("test.db", b"TEST", b"OLDT", &[FIRST, "DELETE FROM a; INSERT INTO nowhere VALUES (1)"]);

    fn open(connection: &mut Connection, format: &Format) -> Result<(), StoreError> {
        format.upgrade(connection, Path::new("dir/test.db"), |connection| {
            Ok(connection.execute_batch("INSERT INTO a (x) VALUES (7)")?)
        })
    }

    fn rows(connection: &Connection) -> Vec<(i64, i64)> {
        let mut select = connection.prepare("SELECT x, y FROM a").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_takes_the_steps_that_it_does_not_have_yet() {
        let mut connection = Connection::open_in_memory().unwrap();
        open(&mut connection, &ONE).unwrap();
        let older = TWO.check(&connection, Path::new("dir/test.db")).unwrap_err();
        assert!(matches!(older, StoreError::OlderFormat { found: 1, supported: 2, .. }), "{older:?}");
        for _ in 0..2 {
            open(&mut connection, &TWO).unwrap();
            assert_eq!(rows(&connection), [(7, 8)], "what a new file begins with is there once");
            TWO.check(&connection, Path::new("dir/test.db")).unwrap();
        }
        let error = open(&mut connection, &ONE).unwrap_err().to_string();
        assert!(error.contains("dir/test.db has format version 2") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        open(&mut connection, &ONE).unwrap();
        assert!(open(&mut connection, &BROKEN).is_err());
        open(&mut connection, &TWO).unwrap();
        assert_eq!(rows(&connection), [(7, 8)]);
    }

    #[test]
    fn what_is_not_such_a_file_is_refused_by_its_name() {
        for (make, reason) in [
            ("PRAGMA application_id = 0x4f4c4454; PRAGMA user_version = 3", "before the first release"),
            ("PRAGMA application_id = 0x54455354", "the first one is 1"),
            ("PRAGMA application_id = 0x54455354; PRAGMA user_version = -1", "the first one is 1"),
            ("PRAGMA application_id = 1", "of another program"),
            ("PRAGMA user_version = 1", "of another program"),
            ("CREATE TABLE theirs (x)", "of another program"),
        ] {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(make).unwrap();
            let error = open(&mut connection, &ONE).unwrap_err().to_string();
            assert!(error.contains("dir/test.db") && error.contains(reason), "{make}: {error}");
        }
        let empty = Connection::open_in_memory().unwrap();
        let error = ONE.check(&empty, Path::new("dir/test.db")).unwrap_err().to_string();
        assert!(error.contains("dir/test.db is empty"), "{error}");
    }
}
