//! What fuzz targets drive, which nobody else should: it may change at any time.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::{response, upstream};

/// Of a success: how many were rejected, and what is said of it; `None` if it is no answer.
#[must_use]
pub fn success(content_type: &str, body: &[u8]) -> Option<(u64, String)> {
    response::success(content_type, body).map(|partial| (partial.rejected, partial.message))
}

/// What a failure says in words.
#[must_use]
pub fn failure(content_type: &str, body: &[u8]) -> String {
    response::failure(content_type, body)
}

/// How long to wait by a `Retry-After`, read now.
#[must_use]
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    upstream::retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_bytes(value).ok()?)]), now)
}
