//! The work of an application's handler: a page of a feed, read from a SQLite file and written as JSON.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use axum::{Json, http::StatusCode};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use tempfile::TempDir;

const USERS: u32 = 50;

/// The database, whose file is removed with the last clone.
#[derive(Clone)]
pub(crate) struct Feed {
    _folder: Arc<TempDir>,
    file: Arc<PathBuf>,
}

#[derive(Serialize)]
pub(crate) struct Activity {
    id: i64,
    handle: String,
    display_name: String,
    message: String,
    created_at_ms: i64,
    likes: i64,
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

impl Feed {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("feed.db");
        let mut connection = Connection::open(&file)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
            CREATE TABLE users (handle TEXT PRIMARY KEY, display_name TEXT NOT NULL);
            CREATE TABLE activities (id INTEGER PRIMARY KEY, handle TEXT NOT NULL, message TEXT NOT NULL,
                created_at_ms INTEGER NOT NULL);
            CREATE INDEX newest ON activities (created_at_ms);
            CREATE TABLE likes (activity INTEGER NOT NULL, handle TEXT NOT NULL, PRIMARY KEY (activity, handle));",
        )?;
        let fill = connection.transaction()?;
        for user in 0..USERS {
            fill.execute("INSERT INTO users VALUES (?1, ?2)", (format!("user{user}"), format!("User {user}")))?;
        }
        for number in 0..10 * USERS {
            let message = format!("This is the text of the message with number {number}");
            let handle = format!("user{}", number % USERS);
            fill.execute("INSERT INTO activities VALUES (?1, ?2, ?3, ?1 * 1000)", (number, &handle, message))?;
            fill.execute("INSERT INTO likes VALUES (?1, ?2)", (number, &handle))?;
        }
        fill.commit()?;
        Ok(Self { _folder: Arc::new(folder), file: Arc::new(file) })
    }

    /// Returns the newest activities.
    pub(crate) fn newest(&self) -> Result<Json<Vec<Activity>>, StatusCode> {
        let read = || {
            CONNECTION.with_borrow_mut(|connection| {
                let connection = match connection {
                    Some(connection) => connection,
                    None => connection.insert(open(&self.file)?),
                };
                select(connection)
            })
        };
        read().map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn select(connection: &Connection) -> rusqlite::Result<Vec<Activity>> {
    let mut statement = connection.prepare_cached(
        // The number of a page of Cruddur's feed. It is in the text, because SQLite prepares a statement again each
        // time a limit is bound.
        "SELECT a.id, a.handle, u.display_name, a.message, a.created_at_ms,
            (SELECT count(*) FROM likes l WHERE l.activity = a.id)
        FROM activities a JOIN users u USING (handle) ORDER BY a.created_at_ms DESC LIMIT 50",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Activity {
            id: row.get(0)?,
            handle: row.get(1)?,
            display_name: row.get(2)?,
            message: row.get(3)?,
            created_at_ms: row.get(4)?,
            likes: row.get(5)?,
        })
    })?;
    rows.collect()
}
