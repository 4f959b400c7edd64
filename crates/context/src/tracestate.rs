//! The `tracestate` header: W3C Trace Context level 2 §3.3.

use crate::trim_ows;
use std::fmt;
use thiserror::Error;

/// How many members a list may have.
const MAX_MEMBERS: usize = 32;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 256;
/// The parts of a key with an `@` in it.
const MAX_TENANT: usize = 241;
const MAX_SYSTEM: usize = 14;

/// What tracing systems carry along with a trace, most recent first. Keys are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceState {
    /// As on the wire, without blanks around members or empty ones: passing it on is the common case.
    list: String,
}

/// Why a list is dropped whole, or a member not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceStateError {
    /// More than 32 members.
    #[error("tracestate has more than 32 members")]
    TooManyMembers,
    /// A member without `=`.
    #[error("tracestate has a member without an equals sign")]
    NoEquals,
    /// A key outside the grammar.
    #[error("tracestate has a key that is not valid")]
    Key,
    /// A value outside the grammar.
    #[error("tracestate has a value that is not valid")]
    Value,
    /// Two members with the same key.
    #[error("tracestate has two members with the same key")]
    DuplicateKey,
}

impl TraceState {
    /// Reads all `tracestate` headers of a request, in their order, as one list. Blanks around members are
    /// dropped, empty members skipped. To be called only where the `traceparent` is valid.
    ///
    /// # Errors
    /// See [`TraceStateError`]. One bad member makes the whole list bad; the `traceparent` stays good.
    pub fn parse_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TraceStateError> {
        let mut state = Self::default();
        let mut count = 0;
        for member in values.into_iter().flat_map(|value| value.split(|byte| *byte == b',')) {
            let member = trim_ows(member);
            if member.is_empty() {
                continue;
            }
            count += 1;
            if count > MAX_MEMBERS {
                return Err(TraceStateError::TooManyMembers);
            }
            // The grammar is ASCII, so what is not UTF-8 is malformed whichever error says it.
            let member = std::str::from_utf8(member).map_err(|_| TraceStateError::Value)?;
            let (key, value) = member.split_once('=').ok_or(TraceStateError::NoEquals)?;
            check(key, value)?;
            if state.get(key).is_some() {
                return Err(TraceStateError::DuplicateKey);
            }
            if !state.list.is_empty() {
                state.list.push(',');
            }
            state.list.push_str(member);
        }
        Ok(state)
    }

    /// Whether there are no members; the header is then left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        // An empty list splits into one empty member, which has no equals sign.
        self.list.split(',').filter_map(|member| member.split_once('='))
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Puts a member first, as the system that wrote the `traceparent` does. An older one with this key goes;
    /// so does the last one, where there would be more than 32.
    ///
    /// # Errors
    /// [`TraceStateError::Key`], [`TraceStateError::Value`]; nothing is changed then.
    pub fn insert_first(&mut self, key: &str, value: &str) -> Result<(), TraceStateError> {
        check(key, value)?;
        let mut list = format!("{key}={value}");
        for (key, value) in self.iter().filter(|(other, _)| *other != key).take(MAX_MEMBERS - 1) {
            list.extend([",", key, "=", value]);
        }
        self.list = list;
        Ok(())
    }
}

/// The header value; empty if there are no members.
impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.list)
    }
}

fn check(key: &str, value: &str) -> Result<(), TraceStateError> {
    if !is_key(key.as_bytes()) {
        Err(TraceStateError::Key)
    } else if !is_value(value.as_bytes()) {
        Err(TraceStateError::Value)
    } else {
        Ok(())
    }
}

/// Level 2 lets a key begin with a digit. Its grammar takes `@` for a character like others, but its conformance
/// suite wants what level 1 said: one `@` at most, between a tenant and a system of limited lengths. A list that
/// keeps to both is accepted by everybody.
fn is_key(key: &[u8]) -> bool {
    match key.iter().position(|byte| *byte == b'@') {
        None => is_key_part(key, MAX_KEY),
        Some(at) => is_key_part(&key[..at], MAX_TENANT) && is_key_part(&key[at + 1..], MAX_SYSTEM),
    }
}

fn is_key_part(part: &[u8], max: usize) -> bool {
    part.len() <= max
        && part.first().is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
        && part.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
}

/// Printable ASCII without `,` and `=`, not empty, not ending in a blank.
fn is_value(value: &[u8]) -> bool {
    value.len() <= MAX_VALUE
        && value.last().is_some_and(|byte| *byte != b' ')
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}
