//! Rejected spans, log records and data points, with the reasons.

use std::{borrow::Cow, fmt};

use throughline_context::IdError;

use crate::{Record, Signal, value::MAX_VALUE_DEPTH};

/// The maximum length of the name of a rejected record, in characters.
const NAME_CHARS: usize = 64;

/// Why a span, a log record or a data point is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The trace id is not 16 bytes, or all zero.
    #[error("trace id: {0}")]
    TraceId(#[source] IdError),
    /// The span id is not 8 bytes, or all zero.
    #[error("span id: {0}")]
    SpanId(#[source] IdError),
    /// The parent span id is neither empty nor 8 bytes.
    #[error("parent span id: {0}")]
    ParentSpanId(#[source] IdError),
    /// A value nests deeper than [`MAX_VALUE_DEPTH`], in the record, its scope or its resource.
    #[error("value nested deeper than {MAX_VALUE_DEPTH} levels")]
    TooDeep,
    /// A data point has no value, or is inconsistent.
    #[error("{0}")]
    Point(&'static str),
    /// The receiver refuses the record for a reason of its own, such as a limit.
    #[error("{0}")]
    Refused(Cow<'static, str>),
}

/// A rejected record. `Display` shows its name and the reason, for the developer of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The signal of the record.
    pub signal: Signal,
    /// The name of the record, truncated to 64 characters; may be empty.
    pub name: String,
    /// Why the record is rejected.
    pub reason: Reason,
}

impl Rejection {
    /// Creates a rejection; only the first 64 characters of `name` are kept.
    #[must_use]
    pub fn new(signal: Signal, name: &str, reason: Reason) -> Self {
        Self { signal, name: name.chars().take(NAME_CHARS).collect(), reason }
    }

    /// Creates a rejection of a decoded record.
    #[must_use]
    pub fn of<R: Record>(record: &R, reason: Reason) -> Self {
        Self::new(R::SIGNAL, record.title(), reason)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.signal.record(), self.name, self.reason)
    }
}
