//! What the inspector is told of metrics.

use serde::{Deserialize, Serialize};

/// How many data points there are: `GET /api/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsStatus {
    /// That ever came, each counted once.
    pub received: u64,
    /// Series whose last point is kept.
    pub series: u64,
    /// Points that are kept for upstreams.
    pub queued: u64,
    /// Points that were dropped, because there were too many, before an upstream had them.
    pub lost: u64,
}
