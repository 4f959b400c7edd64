//! The `tracestate` header (W3C Trace Context Level 2 §3.3).

use crate::trim_ows;
use std::fmt;
use thiserror::Error;

/// The maximum number of members.
const MAX_MEMBERS: usize = 32;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 256;
/// The maximum lengths of the two parts of a key with an `@`.
const MAX_TENANT: usize = 241;
const MAX_SYSTEM: usize = 14;

/// Key-value pairs that tracing systems pass along with a trace, most recent first. Keys are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceState {
    /// The list as sent, without whitespace around members and without empty members. Passing it on is the common case.
    list: String,
}

/// The reason why a list or a member is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceStateError {
    /// The list has more than 32 members.
    #[error("tracestate has more than 32 members")]
    TooManyMembers,
    /// A member has no `=`.
    #[error("tracestate has a member without an equals sign")]
    NoEquals,
    /// A key does not match the grammar.
    #[error("tracestate has an invalid key")]
    Key,
    /// A value does not match the grammar.
    #[error("tracestate has an invalid value")]
    Value,
    /// Two members have the same key.
    #[error("tracestate has two members with the same key")]
    DuplicateKey,
}

impl TraceState {
    /// Parses all `tracestate` headers of a request, in order, as one list. Whitespace around members is removed, and
    /// empty members are skipped. Call it only if the `traceparent` is valid.
    ///
    /// # Errors
    /// Returns a [`TraceStateError`] if any member is invalid: the whole list is then dropped, while the `traceparent`
    /// stays valid.
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
            // The grammar is ASCII, so text that is not UTF-8 is malformed in any case.
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

    /// Returns whether there are no members. The header is then omitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        // An empty list splits into one empty member, which has no equals sign.
        self.list.split(',').filter_map(|member| member.split_once('='))
    }

    /// Returns the value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Inserts a member at the front, as the system that writes the `traceparent` must. Removes an older member with
    /// this key, and the last member if there would be more than 32.
    ///
    /// # Errors
    /// Returns [`TraceStateError::Key`] or [`TraceStateError::Value`]. The list is then unchanged.
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

/// Writes the header value; empty if there are no members.
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

/// Returns whether a key is valid. Level 2 allows a leading digit. Its grammar treats `@` like any other character, but
/// its conformance suite requires the rule of level 1: at most one `@`, between a tenant and a system of limited
/// lengths. A list that follows both rules is accepted by all implementations.
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

/// Returns whether a value is valid: printable ASCII without `,` and `=`, not empty, not ending in a space.
fn is_value(value: &[u8]) -> bool {
    value.len() <= MAX_VALUE
        && value.last().is_some_and(|byte| *byte != b' ')
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}
