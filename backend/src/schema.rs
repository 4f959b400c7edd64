//! The tables and the sample data.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

const VERSION: i32 = 1;

const TABLES: &str = "
CREATE TABLE users (
    handle TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    bio TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE activities (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    handle TEXT NOT NULL REFERENCES users,
    message TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    reply_to INTEGER REFERENCES activities
) STRICT;
CREATE INDEX activities_by_author ON activities (handle, id);
CREATE INDEX activities_by_parent ON activities (reply_to, id) WHERE reply_to IS NOT NULL;
CREATE TABLE likes (
    activity INTEGER NOT NULL REFERENCES activities,
    handle TEXT NOT NULL REFERENCES users,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (activity, handle)
) STRICT, WITHOUT ROWID;
";

const USERS: [(&str, &str, &str); 5] = [
    ("andrewbrown", "Andrew Brown", "Keeps the servers warm and the coffee hot."),
    ("bayko", "Andrew Bayko", "Draws the diagrams that others point at."),
    ("mirela", "Mirela Ionescu", "Databases by day, sourdough by night."),
    ("tomasz", "Tomasz Zielinski", "Every millisecond has a name."),
    ("yuki", "Yuki Tanaka", "Interfaces, bicycles, small dogs."),
];

/// The sample cruds: author, age in minutes, text, and the index of the crud that it replies to.
const CRUDS: [(&str, i64, &str, Option<usize>); 12] = [
    ("tomasz", 2880, "Spent the morning looking for 40 ms. They were in the network the whole time.", None),
    ("mirela", 1500, "A covering index a day keeps the full scan away.", None),
    ("bayko", 1320, "If you cannot draw it on one page, you do not understand it yet.", None),
    ("yuki", 780, "Made the button two pixels taller. Nobody noticed. Everybody clicks it more.", None),
    ("andrewbrown", 770, "That is the job: changes that nobody notices and everybody feels.", Some(3)),
    ("andrewbrown", 420, "Deployed on a Friday. Slept well. Tracing is a wonderful thing.", None),
    ("mirela", 400, "Bold. I would have waited for Monday.", Some(5)),
    ("tomasz", 395, "With the trace open on the second screen it is hardly even a risk.", Some(5)),
    ("bayko", 180, "New diagram: one line from the click to the row. It fits on a napkin.", None),
    ("yuki", 95, "Does the napkin have a dark theme?", Some(8)),
    ("mirela", 40, "WAL mode, group commit, and a good night's sleep. In that order.", None),
    ("andrewbrown", 6, "Cloud is fun! And it is even more fun when you can see what it does.", None),
];

/// The sample likes: the index of the crud, and the user.
const LIKES: [(usize, &str); 9] = [
    (0, "andrewbrown"),
    (0, "bayko"),
    (3, "andrewbrown"),
    (3, "mirela"),
    (5, "bayko"),
    (5, "yuki"),
    (8, "tomasz"),
    (11, "mirela"),
    (11, "yuki"),
];

/// Creates the tables and the sample data in an empty file, in one transaction.
pub(super) fn prepare(connection: &mut Connection) -> anyhow::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    anyhow::ensure!(
        version <= VERSION,
        "cruddur.db has schema version {version}, and this program supports up to {VERSION}: start the newer program, or move the file away"
    );
    if version < VERSION {
        transaction.execute_batch(TABLES)?;
        insert_samples(&transaction, Timestamp::now())?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

fn insert_samples(connection: &Connection, now: Timestamp) -> anyhow::Result<()> {
    for (handle, display_name, bio) in USERS {
        connection.execute("INSERT INTO users VALUES (?1, ?2, ?3)", params![handle, display_name, bio])?;
    }
    for (n, (handle, minutes_ago, message, reply_to)) in CRUDS.iter().enumerate() {
        let created = now - SignedDuration::from_mins(*minutes_ago);
        let reply_to = reply_to.map(|n| n as i64 + 1);
        connection.execute(
            "INSERT INTO activities (id, uuid, handle, message, created_at_ms, expires_at_ms, reply_to)
             VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6)",
            params![
                n as i64 + 1,
                uuid::Uuid::new_v4().to_string(),
                handle,
                message,
                created.as_millisecond(),
                reply_to
            ],
        )?;
    }
    for (n, handle) in LIKES {
        let minutes_ago = CRUDS[n].1 / 2;
        let at = now - SignedDuration::from_mins(minutes_ago);
        connection
            .execute("INSERT INTO likes VALUES (?1, ?2, ?3)", params![n as i64 + 1, handle, at.as_millisecond()])?;
    }
    Ok(())
}
