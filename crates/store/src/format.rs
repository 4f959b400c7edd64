//! The formats of the files: their versions and upgrades.
//!
//! The header of each file has its kind (`application_id`) and its version (`user_version`). A file of a later version is rejected
//! with an error that names it: this program must not change a format that it does not know.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;

/// The format of one kind of file.
#[derive(Debug)]
pub(crate) struct Format {
    /// The name of the file in its directory.
    pub(crate) file: &'static str,
    /// The `application_id` of this kind of file.
    application_id: i64,
    /// The `application_id` before the first release. Such files cannot be read.
    unreleased_id: i64,
    /// The SQL that upgrades a file to each version from the one before it, beginning with version 1.
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

    /// Returns the version that this program writes.
    pub(crate) const fn version(&self) -> i64 {
        self.steps.len() as i64
    }

    /// Returns the version of a file, 0 if it is empty.
    ///
    /// # Errors
    /// An error if the file belongs to another program, or has a version that this one cannot read.
    pub(crate) fn found(&self, connection: &Connection, file: &Path) -> Result<i64, StoreError> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(named(file));
        let (application_id, found) = (pragma("application_id")?, pragma("user_version")?);
        if application_id == self.unreleased_id {
            return Err(StoreError::UnreleasedFormat { file: file.to_owned(), supported: self.version() });
        }
        if application_id == self.application_id {
            return match found {
                ..1 => Err(StoreError::Corrupt(format!(
                    "{} has format version {found}, but the first version is 1",
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

    /// Checks that a file can be read without an upgrade.
    ///
    /// # Errors
    /// Same as [`Format::found`], or an error if the file is empty or of an earlier version.
    pub(crate) fn check(&self, connection: &Connection, file: &Path) -> Result<(), StoreError> {
        match self.found(connection, file)? {
            0 => Err(StoreError::Corrupt(format!("{} is empty", file.display()))),
            found if found < self.version() => {
                Err(StoreError::OlderFormat { file: file.to_owned(), found, supported: self.version() })
            }
            _ => Ok(()),
        }
    }

    /// Upgrades a file to the current version, with all steps or none: a failed step leaves the file unchanged. `made` runs in
    /// the same transaction if the file was empty.
    ///
    /// # Errors
    /// Same as [`Format::found`], or an error of the database.
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
        // Another process may have upgraded the file in the meantime.
        let found = self.found(&transaction, file)?;
        let steps = usize::try_from(found).ok().and_then(|found| self.steps.get(found..));
        for step in steps.expect("`found` returns at most the number of steps") {
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

/// Returns a function that converts errors, and adds the name of the file if it is damaged.
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
    fn a_file_is_upgraded_by_the_missing_steps() {
        let mut connection = Connection::open_in_memory().unwrap();
        open(&mut connection, &ONE).unwrap();
        let older = TWO.check(&connection, Path::new("dir/test.db")).unwrap_err();
        assert!(matches!(older, StoreError::OlderFormat { found: 1, supported: 2, .. }), "{older:?}");
        for _ in 0..2 {
            open(&mut connection, &TWO).unwrap();
            assert_eq!(rows(&connection), [(7, 8)], "`made` runs once");
            TWO.check(&connection, Path::new("dir/test.db")).unwrap();
        }
        let error = open(&mut connection, &ONE).unwrap_err().to_string();
        assert!(error.contains("dir/test.db has format version 2") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn a_failed_step_leaves_the_file_unchanged() {
        let mut connection = Connection::open_in_memory().unwrap();
        open(&mut connection, &ONE).unwrap();
        assert!(open(&mut connection, &BROKEN).is_err());
        open(&mut connection, &TWO).unwrap();
        assert_eq!(rows(&connection), [(7, 8)]);
    }

    #[test]
    fn an_error_names_the_file_of_another_format() {
        for (make, reason) in [
            ("PRAGMA application_id = 0x4f4c4454; PRAGMA user_version = 3", "before the first release"),
            ("PRAGMA application_id = 0x54455354", "the first version is 1"),
            ("PRAGMA application_id = 0x54455354; PRAGMA user_version = -1", "the first version is 1"),
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
