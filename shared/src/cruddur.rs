//! Cruddur, the social feed.
//!
//! Times are RFC 3339 strings in UTC with millisecond precision, such as `2026-11-02T09:30:00.000Z`.

use serde::{Deserialize, Serialize};

/// Somebody who writes cruds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name in the address, without the `@`.
    pub handle: String,
    /// The name that is shown.
    pub display_name: String,
    /// A sentence about them; may be empty.
    pub bio: String,
}

/// A crud, as one person sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// UUID, version 4.
    pub uuid: String,
    /// Who wrote it.
    pub handle: String,
    /// The writer's shown name.
    pub display_name: String,
    /// What it says: 1 to 280 characters.
    pub message: String,
    /// When it was written.
    pub created_at: String,
    /// When it goes away; never, if absent.
    pub expires_at: Option<String>,
    /// The crud that this one answers.
    pub reply_to_uuid: Option<String>,
    /// How many answers it has.
    pub replies_count: u32,
    /// How many like it.
    pub likes_count: u32,
    /// Whether the person who asks likes it.
    pub liked: bool,
}

/// `GET /api/activities/home`, `/search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Newest first.
    pub activities: Vec<Activity>,
}

/// `GET /api/activities/@{handle}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Whose page it is.
    pub user: User,
    /// Their cruds, newest first, replies included.
    pub activities: Vec<Activity>,
}

/// `GET /api/activities/{uuid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The crud that was asked for.
    pub activity: Activity,
    /// Its answers, oldest first.
    pub replies: Vec<Activity>,
}

/// What happened to one of your cruds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    /// Somebody likes it.
    Like,
    /// Somebody answered it.
    Reply,
}

/// One entry of [`Notifications`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// What happened.
    pub kind: NotificationKind,
    /// Who did it.
    pub handle: String,
    /// Their shown name.
    pub display_name: String,
    /// When.
    pub created_at: String,
    /// For a like, the crud that is liked; for a reply, the reply.
    pub activity: Activity,
}

/// `GET /api/activities/notifications`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    /// Newest first.
    pub notifications: Vec<Notification>,
}

/// After how long a crud goes away.
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
    /// It stays.
    #[serde(rename = "never")]
    Never,
}

impl Expiry {
    /// Every choice, shortest first.
    pub const ALL: [Self; 7] = [
        Self::OneHour,
        Self::ThreeHours,
        Self::TwelveHours,
        Self::OneDay,
        Self::SevenDays,
        Self::ThirtyDays,
        Self::Never,
    ];

    /// How long that is, in seconds; `None` for [`Expiry::Never`].
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

    /// The word on the wire, which is also the value of a form's option.
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

/// `POST /api/activities`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewActivity {
    /// 1 to 280 characters after trimming.
    pub message: String,
    /// When it goes away; seven days if absent.
    #[serde(default)]
    pub ttl: Expiry,
}

/// `POST /api/activities/{uuid}/reply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReply {
    /// 1 to 280 characters after trimming.
    pub message: String,
}

/// `GET /api/users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Everybody, by handle.
    pub users: Vec<User>,
    /// Who the one who asks is (the cookie of `PUT /api/session`); the first user if they never chose.
    pub current: User,
}

/// `PUT /api/session`: choose who you are. Answers with [`User`] and sets a cookie.
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
    fn expiry_says_the_same_word_on_the_wire_as_in_a_form() {
        for expiry in Expiry::ALL {
            let json = serde_json::to_string(&expiry).unwrap();
            assert_eq!(json, format!("\"{}\"", expiry.as_str()));
            assert_eq!(serde_json::from_str::<Expiry>(&json).unwrap(), expiry);
        }
    }
}
