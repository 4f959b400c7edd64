//! Spans, log records and data points that were not taken, and why.

use std::{borrow::Cow, fmt};

use throughline_context::IdError;

use crate::{Record, Signal, value::MAX_VALUE_DEPTH};

/// How much of the name of what was refused is kept for the message, in characters.
const NAME_CHARS: usize = 64;

/// A rule that a span, a log record or a data point breaks.
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
    /// A data point says nothing, or contradicts itself.
    #[error("{0}")]
    Point(&'static str),
    /// The receiver does not want it, for a reason of its own such as a limit.
    #[error("{0}")]
    Refused(Cow<'static, str>),
}

/// One span or log record that was not taken. `Display` names it and the reason, for the sender's developer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// What it would have been.
    pub signal: Signal,
    /// The beginning of its name, at most 64 characters; it may be empty.
    pub name: String,
    /// The rule that it breaks.
    pub reason: Reason,
}

impl Rejection {
    /// Keeps the beginning of `name` only, so that what is refused costs little.
    #[must_use]
    pub fn new(signal: Signal, name: &str, reason: Reason) -> Self {
        Self { signal, name: name.chars().take(NAME_CHARS).collect(), reason }
    }

    /// A record that was read and is not wanted.
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
