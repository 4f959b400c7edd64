//! The counts of metrics.

use serde::{Deserialize, Serialize};

/// The counts of data points: `GET /api/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsStatus {
    /// Points received in total, each counted once.
    pub received: u64,
    /// Series whose last point is stored.
    pub series: u64,
    /// Points queued for upstreams.
    pub queued: u64,
    /// Points dropped before delivery because the queue was full.
    pub lost: u64,
}
