//! The attribute keys of Cruddur.

/// The user who sends a request: a handle. The inspector shows it as the user of a trace.
pub(crate) const APP_USER_ID: &str = "app.user_id";
/// The moment for which the home feed was made.
pub(crate) const APP_NOW: &str = "app.now";
/// How many activities a feed holds.
pub(crate) const APP_RESULT_LENGTH: &str = "app.result_length";
/// How many bytes a feed's JSON takes.
pub(crate) const APP_RESULT_LENGTH_BYTES: &str = "app.result_length_bytes";
