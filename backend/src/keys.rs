//! The attribute keys of Cruddur.

/// The handle of the user who sent the request. The inspector shows it as the user of the trace.
pub(crate) const APP_USER_ID: &str = "app.user_id";
/// The time for which the home feed was computed.
pub(crate) const APP_NOW: &str = "app.now";
/// The number of activities in a feed.
pub(crate) const APP_RESULT_LENGTH: &str = "app.result_length";
/// The size of a feed's JSON, in bytes.
pub(crate) const APP_RESULT_LENGTH_BYTES: &str = "app.result_length_bytes";
