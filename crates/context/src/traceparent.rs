//! The `traceparent` header: W3C Trace Context level 2 §3.2. Nothing here allocates.

use crate::{
    SpanId, TraceFlags, TraceId,
    hex::{self, Case},
    id::IdError,
    trim_ows,
};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The length of version 00, and of what later versions must begin with.
const LENGTH: usize = 55;

/// The trace that a request belongs to, and the span that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub parent_id: SpanId,
    /// What the caller says about the trace: requests, not orders.
    pub flags: TraceFlags,
}

/// Why a header value is not a trace context. All of them mean: start a new trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceParentError {
    /// Shorter than 55 bytes.
    #[error("traceparent has {0} bytes, at least 55 are needed")]
    TooShort(usize),
    /// The version is not two lower-case hexadecimal digits, or is `ff`.
    #[error("traceparent has no valid version")]
    Version,
    /// No dash where one field ends and the next begins.
    #[error("traceparent lacks a dash between its fields")]
    Delimiter,
    /// The second field is not a trace id.
    #[error("traceparent has no valid trace id: {0}")]
    TraceId(#[source] IdError),
    /// The third field is not a span id.
    #[error("traceparent has no valid parent id: {0}")]
    ParentId(#[source] IdError),
    /// The fourth field is not two lower-case hexadecimal digits.
    #[error("traceparent has no valid flags")]
    Flags,
    /// More bytes than version 00 has, or, in a later version, something other than a dash after byte 55.
    #[error("traceparent goes on where it should end")]
    Trailing,
}

impl TraceParent {
    /// A context to hand on.
    #[must_use]
    pub const fn new(trace_id: TraceId, parent_id: SpanId, flags: TraceFlags) -> Self {
        Self { trace_id, parent_id, flags }
    }

    /// Reads one header value. Version 00 has exactly 55 bytes; a later version is read by its first 55, if
    /// nothing or a dash follows. Unknown flags are dropped.
    ///
    /// # Errors
    /// See [`TraceParentError`].
    pub fn parse(value: &[u8]) -> Result<Self, TraceParentError> {
        use TraceParentError as E;
        let (head, rest) = value.split_first_chunk::<LENGTH>().ok_or(E::TooShort(value.len()))?;
        // All fields first, so that none waits for the check of another.
        let ([version], bad_version) = hex::decode_all(&[head[0], head[1]], Case::Lower);
        let (trace_id, bad_trace_id) = hex::decode_all(&head[3..35], Case::Lower);
        let (parent_id, bad_parent_id) = hex::decode_all(&head[36..52], Case::Lower);
        let ([flags], bad_flags) = hex::decode_all(&[head[53], head[54]], Case::Lower);
        if bad_version != 0 || version == 0xff {
            return Err(E::Version);
        }
        if [head[2], head[35], head[52]] != [b'-'; 3] {
            return Err(E::Delimiter);
        }
        if bad_trace_id != 0 {
            return Err(E::TraceId(IdError::NotHex));
        }
        let trace_id = TraceId::from_bytes(trace_id).ok_or(E::TraceId(IdError::AllZero))?;
        if bad_parent_id != 0 {
            return Err(E::ParentId(IdError::NotHex));
        }
        let parent_id = SpanId::from_bytes(parent_id).ok_or(E::ParentId(IdError::AllZero))?;
        if bad_flags != 0 {
            return Err(E::Flags);
        }
        match rest {
            [] => {}
            [b'-', ..] if version > 0 => {}
            _ => return Err(E::Trailing),
        }
        Ok(Self::new(trace_id, parent_id, TraceFlags::new(flags)))
    }

    /// Reads the values of all `traceparent` headers of a request: none, more than one, or a malformed one is
    /// no context. Blanks around a value are not part of it.
    pub fn from_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut values = values.into_iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(trim_ows(value)).ok()
    }

    /// The header value, in version 00; ASCII.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        text[0] = b'0';
        text[1] = b'0';
        hex::encode(&self.trace_id.to_bytes(), &mut text[3..35]);
        hex::encode(&self.parent_id.to_bytes(), &mut text[36..52]);
        hex::encode(&[self.flags.bits()], &mut text[53..]);
        text
    }
}

/// The header value, in version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::pad(&self.to_bytes(), f)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(value: &str) -> Result<Self, TraceParentError> {
        Self::parse(value.as_bytes())
    }
}
