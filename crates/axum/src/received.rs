//! When a request was received.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// By the wall clock for others, by the monotonic one for lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) wall: SystemTime,
    instant: Instant,
}

impl Received {
    pub(crate) fn now() -> Self {
        Self { wall: SystemTime::now(), instant: Instant::now() }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.instant.elapsed()
    }

    pub(crate) fn unix_ns(self) -> i64 {
        let since_epoch = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
    }

    /// So long after the reception, in Unix nanoseconds: a wall clock that is set while a request is handled does not make its
    /// length negative.
    pub(crate) fn unix_ns_after(self, length: Duration) -> i64 {
        self.unix_ns().saturating_add(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
    }
}
