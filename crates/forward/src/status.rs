//! What a sink is doing.

use throughline_store::SinkCursor;

/// What a sink is doing, in one word. Whoever shows it has to know every word, so it is exhaustive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkState {
    /// Everything is delivered.
    #[default]
    Idle,
    /// What there is waits until its traces are quiet and can be judged whole.
    Sampling,
    /// A batch is under way.
    Delivering,
    /// The upstream does not take anything at present; it will be tried again.
    Backoff,
    /// The upstream refuses the key. It is tried again now and then.
    Stopped,
    /// The upstream has no address for log records or data points. They are kept, and offered again now and then.
    Absent,
}

impl SinkState {
    /// `idle`, `sampling`, `delivering`, `backoff`, `stopped`, `absent`.
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

/// The state of one part of a sink: that for spans, for log records or for data points. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStatus {
    /// Its cursor, which also is its name for people.
    pub cursor: SinkCursor,
    /// Where it delivers to, without user, password and query.
    pub endpoint: String,
    /// What it is doing.
    pub state: SinkState,
    /// How many the upstream took since the start.
    pub delivered: u64,
    /// How many are committed and not yet dealt with.
    pub waiting: u64,
    /// When the first of those that wait ended, Unix nanoseconds: by the server's clock where that was noted, else by its
    /// maker's.
    pub oldest_ns: Option<u64>,
    /// How many the upstream refused since the start: they were quarantined, and are still in the store.
    pub rejected: u64,
    /// How many were removed before they were delivered, to keep within the bounds of what is kept.
    pub lost: u64,
    /// How many tail sampling left out since the start; they are still in the store.
    pub sampled_out: u64,
    /// After a failure: when it is tried again, Unix nanoseconds.
    pub next_attempt_ns: Option<u64>,
    /// What went wrong last; nothing since the last success.
    pub last_error: Option<String>,
    /// Why the upstream refused one last.
    pub last_rejection: Option<String>,
}

impl SinkStatus {
    /// That of a sink that has done nothing yet.
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
