//! Spans that were not taken, and why.

use std::{borrow::Cow, fmt};

use throughline_context::IdError;

use crate::value::MAX_VALUE_DEPTH;

/// How much of a refused span's name is kept for the message, in characters.
const NAME_CHARS: usize = 64;

/// A rule that a span breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// A value nests deeper than [`MAX_VALUE_DEPTH`], in the span, its scope or its resource.
    #[error("attribute value nested deeper than {MAX_VALUE_DEPTH} levels")]
    TooDeep,
    /// The receiver does not want it, for a reason of its own such as a limit.
    #[error("{0}")]
    Refused(Cow<'static, str>),
}

/// One span that was not taken. `Display` names span and reason, for the sender's developer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The beginning of the span's name, at most 64 characters; it may be empty.
    pub span_name: String,
    /// The rule that it breaks.
    pub reason: Reason,
}

impl Rejection {
    /// Keeps the beginning of `span_name` only, so that what is refused costs little.
    #[must_use]
    pub fn new(span_name: &str, reason: Reason) -> Self {
        Self { span_name: span_name.chars().take(NAME_CHARS).collect(), reason }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "span {:?}: {}", self.span_name, self.reason)
    }
}
