//! Trace ids and span ids.

use crate::hex::{self, Case};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The reason why an id is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The id has the wrong number of bytes or digits.
    #[error("id has length {actual}, expected {expected}")]
    Length {
        /// The expected number of bytes or digits.
        expected: usize,
        /// The actual number of bytes or digits.
        actual: usize,
    },
    /// The id contains a character that is not a hexadecimal digit, or an upper-case digit where only lower case is
    /// allowed.
    #[error("id contains a character that is not a hexadecimal digit")]
    NotHex,
    /// The id is all zero, which W3C Trace Context and OpenTelemetry both declare invalid.
    #[error("id is all zero")]
    AllZero,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $integer:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Creates an id from bytes, most significant first; `None` if all are zero.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Option<Self> {
                if <$integer>::from_ne_bytes(bytes) == 0 { None } else { Some(Self(bytes)) }
            }

            /// Returns the bytes, most significant first.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $bytes] {
                self.0
            }

            /// Creates an id from a slice, as in OTLP.
            ///
            /// # Errors
            /// Returns [`IdError::Length`] or [`IdError::AllZero`].
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                let length = IdError::Length { expected: $bytes, actual: bytes.len() };
                Self::from_bytes(bytes.try_into().map_err(|_| length)?).ok_or(IdError::AllZero)
            }

            /// Returns the id as lower-case hexadecimal digits.
            #[must_use]
            pub fn to_hex(self) -> [u8; 2 * $bytes] {
                let mut digits = [0; 2 * $bytes];
                hex::encode(&self.0, &mut digits);
                digits
            }

            /// Parses hexadecimal digits of either case, as used in OTLP/JSON and typed by people.
            ///
            /// # Errors
            /// Returns an [`IdError`] if the id is invalid.
            pub fn from_hex(digits: &str) -> Result<Self, IdError> {
                Self::parse(digits.as_bytes(), Case::Either)
            }

            pub(crate) fn parse(digits: &[u8], case: Case) -> Result<Self, IdError> {
                if digits.len() != 2 * $bytes {
                    return Err(IdError::Length { expected: 2 * $bytes, actual: digits.len() });
                }
                let bytes = hex::decode(digits, case).ok_or(IdError::NotHex)?;
                Self::from_bytes(bytes).ok_or(IdError::AllZero)
            }
        }

        /// Parses lower-case hexadecimal digits, as in W3C headers.
        impl FromStr for $name {
            type Err = IdError;

            fn from_str(digits: &str) -> Result<Self, IdError> {
                Self::parse(digits.as_bytes(), Case::Lower)
            }
        }

        /// Writes the id as lower-case hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::pad(&self.to_hex(), f)
            }
        }

        /// Writes the id as lower-case hexadecimal digits.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id! {
    /// A trace id: 16 bytes, never all zero (W3C Trace Context §3.2.2.3).
    TraceId, 16, u128
}

id! {
    /// A span id: 8 bytes, never all zero (W3C Trace Context §3.2.2.4).
    SpanId, 8, u64
}
