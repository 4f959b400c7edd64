//! Entry points for the fuzz targets. They are not part of the public API, and may change at any time.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::{response, upstream};

/// Parses the body of a success into the number of rejected records and the message; `None` if it is not an OTLP response.
#[must_use]
pub fn success(content_type: &str, body: &[u8]) -> Option<(u64, String)> {
    response::success(content_type, body).map(|partial| (partial.rejected, partial.message))
}

/// Parses the body of a failure into its message.
#[must_use]
pub fn failure(content_type: &str, body: &[u8]) -> String {
    response::failure(content_type, body)
}

/// Parses the value of a `Retry-After` header into the time to wait from `now`.
#[must_use]
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    upstream::retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_bytes(value).ok()?)]), now)
}
