//! The status of a sink.

use throughline_store::SinkCursor;

/// The state of a sink. The enum is exhaustive, because every state has to be displayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkState {
    /// All records are delivered.
    #[default]
    Idle,
    /// The waiting spans belong to traces that tail sampling has not decided yet.
    Sampling,
    /// A batch is in flight.
    Delivering,
    /// The last request failed; it is retried with backoff.
    Backoff,
    /// The upstream rejects the key. It is retried at intervals.
    Stopped,
    /// The upstream has no endpoint for log records or data points. They are kept, and sent again at intervals.
    Absent,
}

impl SinkState {
    /// Returns the name of the state: `idle`, `sampling`, `delivering`, `backoff`, `stopped` or `absent`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Sampling => "sampling",
            Self::Delivering => "delivering",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
        }
    }
}

/// The status of a sink for one signal: spans, log records or data points. It contains no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStatus {
    /// The name of the sink's cursor, which is also its display name.
    pub cursor: SinkCursor,
    /// The destination, without user, password and query.
    pub endpoint: String,
    /// The current state.
    pub state: SinkState,
    /// The number of records that the upstream accepted since the start.
    pub delivered: u64,
    /// The number of stored records that are not yet delivered, rejected or sampled out.
    pub waiting: u64,
    /// The end of the first waiting record, in Unix nanoseconds: the server's time of arrival if it is known, else the record's
    /// own time.
    pub oldest_ns: Option<u64>,
    /// The number of records that the upstream rejected since the start. They are quarantined, and stay in the store.
    pub rejected: u64,
    /// The number of records that were deleted before they were delivered, because of the limits of retention.
    pub lost: u64,
    /// The number of spans that tail sampling dropped since the start. They stay in the store.
    pub sampled_out: u64,
    /// The time of the next attempt after a failure, in Unix nanoseconds.
    pub next_attempt_ns: Option<u64>,
    /// The error of the last attempt; `None` after a success.
    pub last_error: Option<String>,
    /// The reason of the last rejection.
    pub last_rejection: Option<String>,
}

impl SinkStatus {
    /// Creates the status of a sink that has just started.
    pub(crate) fn new(cursor: SinkCursor, endpoint: String) -> Self {
        Self {
            cursor,
            endpoint,
            state: SinkState::Idle,
            delivered: 0,
            waiting: 0,
            oldest_ns: None,
            rejected: 0,
            lost: 0,
            sampled_out: 0,
            next_attempt_ns: None,
            last_error: None,
            last_rejection: None,
        }
    }
}
