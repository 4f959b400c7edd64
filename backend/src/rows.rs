//! The SQL statements, and the conversion of rows to the bodies of the API.

use cruddur_shared::cruddur::{Activity, User};
use jiff::Timestamp;
use rusqlite::Row;
use throughline_rusqlite::Statement;

/// A query for cruds. `?1` is the handle of the current user, `?2` the current time in Unix milliseconds.
macro_rules! activities {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.uuid, a.handle, u.display_name, a.message, a.created_at_ms, a.expires_at_ms, ",
            "(SELECT p.uuid FROM activities p WHERE p.id = a.reply_to), ",
            "(SELECT count(*) FROM activities r WHERE r.reply_to = a.id AND (r.expires_at_ms IS NULL OR r.expires_at_ms > ?2)), ",
            "(SELECT count(*) FROM likes l WHERE l.activity = a.id), ",
            "EXISTS (SELECT 1 FROM likes l WHERE l.activity = a.id AND l.handle = ?1) ",
            "FROM activities a JOIN users u USING (handle) ",
            "WHERE (a.expires_at_ms IS NULL OR a.expires_at_ms > ?2) ",
            $rest
        )
    };
}

const fn select(sql: &'static str) -> Statement {
    Statement::new("SELECT", "activities", sql)
}

pub(super) const HOME: Statement =
    select(activities!("AND a.reply_to IS NULL ORDER BY a.created_at_ms DESC, a.id DESC LIMIT 50"));
pub(super) const BY_AUTHOR: Statement =
    select(activities!("AND a.handle = ?3 ORDER BY a.created_at_ms DESC, a.id DESC LIMIT 50"));
pub(super) const SEARCH: Statement = select(activities!(
    "AND (a.message LIKE ?3 ESCAPE '\\' OR a.handle LIKE ?3 ESCAPE '\\') ORDER BY a.created_at_ms DESC, a.id DESC LIMIT 50"
));
pub(super) const BY_UUID: Statement = select(activities!("AND a.uuid = ?3"));
pub(super) const REPLIES: Statement =
    select(activities!("AND a.reply_to = ?3 ORDER BY a.created_at_ms, a.id LIMIT 200"));
pub(super) const REPLIES_TO_AUTHOR: Statement = select(activities!(
    "AND a.handle <> ?1 AND a.reply_to IN (SELECT id FROM activities WHERE handle = ?1) ORDER BY a.created_at_ms DESC LIMIT 50"
));
pub(super) const LIKED_OF_AUTHOR: Statement =
    select(activities!("AND a.handle = ?1 AND a.id IN (SELECT l.activity FROM likes l WHERE l.handle <> ?1)"));
pub(super) const LIKES_OF_AUTHOR: Statement = Statement::new(
    "SELECT",
    "likes",
    "SELECT l.activity, l.handle, u.display_name, l.created_at_ms FROM likes l \
          JOIN activities a ON a.id = l.activity JOIN users u ON u.handle = l.handle \
          WHERE a.handle = ?1 AND l.handle <> ?1 ORDER BY l.created_at_ms DESC LIMIT 50",
);
pub(super) const USERS: Statement =
    Statement::new("SELECT", "users", "SELECT handle, display_name, bio FROM users ORDER BY handle");
pub(super) const USER: Statement =
    Statement::new("SELECT", "users", "SELECT handle, display_name, bio FROM users WHERE handle = ?1");
pub(super) const INSERT_ACTIVITY: Statement = Statement::new(
    "INSERT",
    "activities",
    "INSERT INTO activities (uuid, handle, message, created_at_ms, expires_at_ms, reply_to) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
);
pub(super) const INSERT_LIKE: Statement = Statement::new(
    "INSERT",
    "likes",
    "INSERT INTO likes (activity, handle, created_at_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
);
pub(super) const DELETE_LIKE: Statement =
    Statement::new("DELETE", "likes", "DELETE FROM likes WHERE activity = ?1 AND handle = ?2");

/// A crud and its primary key in the database.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) activity: Activity,
}

pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        activity: Activity {
            uuid: row.get(1)?,
            handle: row.get(2)?,
            display_name: row.get(3)?,
            message: row.get(4)?,
            created_at: rfc3339(row.get(5)?),
            expires_at: row.get::<_, Option<i64>>(6)?.map(rfc3339),
            reply_to_uuid: row.get(7)?,
            replies_count: row.get(8)?,
            likes_count: row.get(9)?,
            liked: row.get(10)?,
        },
    })
}

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { handle: row.get(0)?, display_name: row.get(1)?, bio: row.get(2)? })
}

/// Formats Unix milliseconds as RFC 3339 in UTC.
pub(super) fn rfc3339(unix_ms: i64) -> String {
    let timestamp = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// Returns a LIKE pattern that finds `term` anywhere; wildcards in it are escaped.
pub(super) fn anywhere(term: &str) -> String {
    let mut pattern = String::with_capacity(term.len() + 2);
    pattern.push('%');
    for c in term.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_zone() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(rfc3339(1_700_000_000_042), "2023-11-14T22:13:20.042Z");
    }

    #[test]
    fn wildcards_in_a_term_are_escaped() {
        assert_eq!(anywhere("100%_\\"), "%100\\%\\_\\\\%");
    }
}
