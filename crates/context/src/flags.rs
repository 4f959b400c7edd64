//! The `trace-flags` field of `traceparent`.

use std::{fmt, ops::BitOr};

/// The trace flags of a caller (W3C Trace Context Level 2 §3.2.2.5).
///
/// Only the two defined bits are kept: the specification requires that all others are cleared when a context is passed
/// on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// Neither sampled nor random.
    pub const NONE: Self = Self(0x00);
    /// The caller may have recorded the trace.
    pub const SAMPLED: Self = Self(0x01);
    /// The right-most seven bytes of the trace id are random.
    pub const RANDOM: Self = Self(0x02);

    const KNOWN: u8 = Self::SAMPLED.0 | Self::RANDOM.0;

    /// Creates flags from a bit field, without the unknown bits.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(bits & Self::KNOWN)
    }

    /// Returns the flags as a bit field.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether [`SAMPLED`](Self::SAMPLED) is set.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Returns whether [`RANDOM`](Self::RANDOM) is set.
    #[must_use]
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// Returns the flags with [`SAMPLED`](Self::SAMPLED) set or cleared.
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        let others = self.0 & !Self::SAMPLED.0;
        Self(if sampled { others | Self::SAMPLED.0 } else { others })
    }
}

impl BitOr for TraceFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Writes two hexadecimal digits, as in the header.
impl fmt::Display for TraceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl fmt::Debug for TraceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceFlags({self})")
    }
}
