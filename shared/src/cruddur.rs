//! The bodies of Cruddur's API.
//!
//! Times are RFC 3339 strings in UTC with millisecond precision, such as `2026-11-02T09:30:00.000Z`.

use serde::{Deserialize, Serialize};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name in URLs, without the `@`.
    pub handle: String,
    /// The display name.
    pub display_name: String,
    /// A sentence about the user; may be empty.
    pub bio: String,
}

/// A crud, as seen by the current user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// UUID, version 4.
    pub uuid: String,
    /// The handle of the author.
    pub handle: String,
    /// The display name of the author.
    pub display_name: String,
    /// The text, 1 to 280 characters.
    pub message: String,
    /// The time at which it was written.
    pub created_at: String,
    /// The time at which it expires; it never does if absent.
    pub expires_at: Option<String>,
    /// The crud that this one replies to.
    pub reply_to_uuid: Option<String>,
    /// The number of replies.
    pub replies_count: u32,
    /// The number of likes.
    pub likes_count: u32,
    /// Whether the current user likes it.
    pub liked: bool,
}

/// The response to `GET /api/activities/home` and `GET /api/activities/search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// The cruds, newest first.
    pub activities: Vec<Activity>,
}

/// The response to `GET /api/activities/@{handle}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The user.
    pub user: User,
    /// The user's cruds, newest first, replies included.
    pub activities: Vec<Activity>,
}

/// The response to `GET /api/activities/{uuid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The requested crud.
    pub activity: Activity,
    /// Its replies, oldest first.
    pub replies: Vec<Activity>,
}

/// The kind of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    /// A like of one of your cruds.
    Like,
    /// A reply to one of your cruds.
    Reply,
}

/// One entry of [`Notifications`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The kind.
    pub kind: NotificationKind,
    /// The handle of the user who liked or replied.
    pub handle: String,
    /// The display name of that user.
    pub display_name: String,
    /// The time of the like or reply.
    pub created_at: String,
    /// For a like, the liked crud; for a reply, the reply.
    pub activity: Activity,
}

/// The response to `GET /api/activities/notifications`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    /// The notifications, newest first.
    pub notifications: Vec<Notification>,
}

/// The time after which a crud expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// One hour.
    #[serde(rename = "1-hour")]
    OneHour,
    /// Three hours.
    #[serde(rename = "3-hours")]
    ThreeHours,
    /// Twelve hours.
    #[serde(rename = "12-hours")]
    TwelveHours,
    /// One day.
    #[serde(rename = "1-day")]
    OneDay,
    /// Seven days.
    #[default]
    #[serde(rename = "7-days")]
    SevenDays,
    /// Thirty days.
    #[serde(rename = "30-days")]
    ThirtyDays,
    /// No expiry.
    #[serde(rename = "never")]
    Never,
}

impl Expiry {
    /// Every value, shortest first.
    pub const ALL: [Self; 7] = [
        Self::OneHour,
        Self::ThreeHours,
        Self::TwelveHours,
        Self::OneDay,
        Self::SevenDays,
        Self::ThirtyDays,
        Self::Never,
    ];

    /// Returns the time in seconds; `None` for [`Expiry::Never`].
    #[must_use]
    pub const fn seconds(self) -> Option<u64> {
        const HOUR: u64 = 3600;
        match self {
            Self::OneHour => Some(HOUR),
            Self::ThreeHours => Some(3 * HOUR),
            Self::TwelveHours => Some(12 * HOUR),
            Self::OneDay => Some(24 * HOUR),
            Self::SevenDays => Some(7 * 24 * HOUR),
            Self::ThirtyDays => Some(30 * 24 * HOUR),
            Self::Never => None,
        }
    }

    /// Returns the serialized value, which is also the value of a form option.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneHour => "1-hour",
            Self::ThreeHours => "3-hours",
            Self::TwelveHours => "12-hours",
            Self::OneDay => "1-day",
            Self::SevenDays => "7-days",
            Self::ThirtyDays => "30-days",
            Self::Never => "never",
        }
    }
}

/// The body of `POST /api/activities`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewActivity {
    /// The text, 1 to 280 characters after trimming.
    pub message: String,
    /// The time after which it expires; seven days if absent.
    #[serde(default)]
    pub ttl: Expiry,
}

/// The body of `POST /api/activities/{uuid}/reply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReply {
    /// The text, 1 to 280 characters after trimming.
    pub message: String,
}

/// The response to `GET /api/users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// All users, by handle.
    pub users: Vec<User>,
    /// The current user, from the cookie that `PUT /api/session` sets; a default user without the cookie.
    pub current: User,
}

/// The body of `PUT /api/session`, which chooses the current user. The response is a [`User`] and sets a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChooseUser {
    /// The handle, without the `@`.
    pub handle: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_serializes_as_its_form_value() {
        for expiry in Expiry::ALL {
            let json = serde_json::to_string(&expiry).unwrap();
            assert_eq!(json, format!("\"{}\"", expiry.as_str()));
            assert_eq!(serde_json::from_str::<Expiry>(&json).unwrap(), expiry);
        }
    }
}
