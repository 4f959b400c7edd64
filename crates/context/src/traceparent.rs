//! The `traceparent` header (W3C Trace Context Level 2 §3.2). This module does not allocate.

use crate::{
    SpanId, TraceFlags, TraceId,
    hex::{self, Case},
    id::IdError,
    trim_ows,
};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The length of version 00, and of the part of later versions that is read.
const LENGTH: usize = 55;

/// The trace id, the caller's span id and the flags of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The id of the caller's span.
    pub parent_id: SpanId,
    /// The caller's flags. They are hints, not commands.
    pub flags: TraceFlags,
}

/// The reason why a header value is not a valid trace context. In all cases a new trace must be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceParentError {
    /// The value is shorter than 55 bytes.
    #[error("traceparent has {0} bytes, expected at least 55")]
    TooShort(usize),
    /// The version is not two lower-case hexadecimal digits, or is `ff`.
    #[error("traceparent has an invalid version")]
    Version,
    /// There is no dash between two fields.
    #[error("traceparent lacks a dash between its fields")]
    Delimiter,
    /// The second field is not a trace id.
    #[error("traceparent has an invalid trace id: {0}")]
    TraceId(#[source] IdError),
    /// The third field is not a span id.
    #[error("traceparent has an invalid parent id: {0}")]
    ParentId(#[source] IdError),
    /// The fourth field is not two lower-case hexadecimal digits.
    #[error("traceparent has invalid flags")]
    Flags,
    /// Version 00 is followed by more bytes, or a later version by a byte other than a dash after byte 55.
    #[error("traceparent is longer than its version allows")]
    Trailing,
}

impl TraceParent {
    /// Creates a context.
    #[must_use]
    pub const fn new(trace_id: TraceId, parent_id: SpanId, flags: TraceFlags) -> Self {
        Self { trace_id, parent_id, flags }
    }

    /// Parses one header value. Version 00 has exactly 55 bytes; a later version is read by its first 55 bytes if
    /// nothing or a dash follows. Unknown flags are dropped.
    ///
    /// # Errors
    /// Returns a [`TraceParentError`] if the value is invalid.
    pub fn parse(value: &[u8]) -> Result<Self, TraceParentError> {
        use TraceParentError as E;
        let (head, rest) = value.split_first_chunk::<LENGTH>().ok_or(E::TooShort(value.len()))?;
        // All fields are decoded before the checks, so that no decoding waits for a check.
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

    /// Parses the values of all `traceparent` headers of a request. Returns `None` if there are none or more than one,
    /// or if the value is malformed. Whitespace around a value is ignored.
    pub fn from_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut values = values.into_iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(trim_ows(value)).ok()
    }

    /// Returns the header value in version 00, as ASCII.
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

/// Writes the header value in version 00.
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
