//! The `baggage` header (W3C Baggage §3).

use crate::{
    hex::{self, Case},
    trim_ows,
};
use std::fmt;
use thiserror::Error;

/// The maximum number of members kept (W3C Baggage §3.3.2).
const MAX_MEMBERS: usize = 64;
/// The maximum size of all headers together in bytes, commas included (W3C Baggage §3.3.2).
const MAX_BYTES: usize = 8192;

/// Key-value pairs that an application sends along with a request. At most 64 members and 8192 bytes when printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    entries: Vec<Entry>,
    /// The length of the `Display` output.
    length: usize,
}

/// A member of a [`Baggage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    key: String,
    value: String,
    properties: Vec<Property>,
}

/// A property of an [`Entry`], written after a semicolon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    key: String,
    value: Option<String>,
}

/// The reason why a member is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BaggageError {
    /// The key is not a token (RFC 9110 §5.6.2).
    #[error("baggage key is not a token")]
    Key,
    /// A property key is not a token, or its value contains a byte that is not a `baggage-octet`.
    #[error("baggage property is not a token with an optional value")]
    Property,
    /// The baggage already has 64 members.
    #[error("baggage already has 64 members, the maximum")]
    TooManyMembers,
    /// The baggage would be longer than 8192 bytes.
    #[error("baggage would be longer than 8192 bytes")]
    TooLong,
}

impl Entry {
    /// Creates a member without properties. The value may be any text.
    ///
    /// # Errors
    /// Returns [`BaggageError::Key`] if the key is not a token.
    pub fn new(key: &str, value: &str) -> Result<Self, BaggageError> {
        let key = token(key.as_bytes()).ok_or(BaggageError::Key)?;
        Ok(Self { key, value: value.to_owned(), properties: Vec::new() })
    }

    /// Replaces the properties with `p1;p2=v`, percent-encoded as in the header. Empty properties are skipped.
    ///
    /// # Errors
    /// Returns [`BaggageError::Property`] if a property is malformed.
    pub fn with_properties(mut self, properties: &str) -> Result<Self, BaggageError> {
        self.properties =
            parse_properties(properties.as_bytes().split(|byte| *byte == b';')).ok_or(BaggageError::Property)?;
        Ok(self)
    }

    /// Returns the key: a token, case-sensitive.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the percent-decoded value. Bytes that are not UTF-8 become U+FFFD, as the specification requires.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the properties, in order.
    #[must_use]
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    fn parse(member: &[u8]) -> Option<Self> {
        let mut parts = member.split(|byte| *byte == b';');
        let (key, Some(value)) = pair(parts.next()?) else {
            return None;
        };
        let (key, value) = (token(key)?, percent_decode(octets(value)?.as_bytes()));
        Some(Self { key, value, properties: parse_properties(parts)? })
    }
}

impl Property {
    /// Returns the key: a token.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the value as received, still percent-encoded; `None` without an equals sign.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl Baggage {
    /// Parses all `baggage` headers of a request, in order, as one list. Malformed members are dropped, and so are
    /// those that would exceed a limit; a member is never kept in part. Several members may have the same key.
    #[must_use]
    pub fn parse_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut baggage = Self::default();
        for member in values.into_iter().flat_map(|value| value.split(|byte| *byte == b',')) {
            // The rest is not parsed: there may be thousands of members.
            if baggage.entries.len() == MAX_MEMBERS {
                break;
            }
            if let Some(entry) = Entry::parse(member) {
                // best effort: a member that does not fit is dropped, and a later, shorter one may fit
                let _ = baggage.push(entry);
            }
        }
        baggage
    }

    /// Returns the members, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns whether there are no members. The header is then omitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the value of `key`: that of the last member with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rfind(|entry| entry.key == key).map(Entry::value)
    }

    /// Appends a member, and removes all others with the same key. The value may be any text.
    ///
    /// # Errors
    /// Returns a [`BaggageError`] if the key is not a token or a limit is exceeded. The baggage is then unchanged.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), BaggageError> {
        let entry = Entry {
            key: token(key.as_bytes()).ok_or(BaggageError::Key)?,
            value: value.to_owned(),
            properties: Vec::new(),
        };
        let mut changed = Self::default();
        for other in self.entries.iter().filter(|other| other.key != key) {
            changed.length = changed.length_with(other);
            changed.entries.push(other.clone());
        }
        if changed.entries.len() == MAX_MEMBERS {
            return Err(BaggageError::TooManyMembers);
        }
        changed.length = changed.length_with(&entry);
        if changed.length > MAX_BYTES {
            return Err(BaggageError::TooLong);
        }
        changed.entries.push(entry);
        *self = changed;
        Ok(())
    }

    /// Appends a member. Other members with the same key are kept.
    ///
    /// # Errors
    /// Returns [`BaggageError::TooManyMembers`] or [`BaggageError::TooLong`]. The baggage is then unchanged.
    pub fn push(&mut self, entry: Entry) -> Result<(), BaggageError> {
        if self.entries.len() == MAX_MEMBERS {
            return Err(BaggageError::TooManyMembers);
        }
        let length = self.length_with(&entry);
        if length > MAX_BYTES {
            return Err(BaggageError::TooLong);
        }
        self.entries.push(entry);
        self.length = length;
        Ok(())
    }

    fn length_with(&self, entry: &Entry) -> usize {
        self.length + usize::from(!self.entries.is_empty()) + entry.to_string().len()
    }
}

/// Writes the header value, percent-encoded; empty if there are no members.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{entry}")?;
        }
        Ok(())
    }
}

/// Writes the property as in the header, without the semicolon.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// Writes the member as in the header, percent-encoded.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, PercentEncoded(&self.value))?;
        for property in &self.properties {
            write!(f, ";{property}")?;
        }
        Ok(())
    }
}

fn parse_properties<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Property>> {
    let mut properties = Vec::new();
    for part in parts.filter(|part| !trim_ows(part).is_empty()) {
        let (key, value) = pair(part);
        let value = match value {
            Some(value) => Some(octets(value)?),
            None => None,
        };
        properties.push(Property { key: token(key)?, value });
    }
    Some(properties)
}

/// Splits at the first equals sign and trims both parts.
fn pair(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (trim_ows(&text[..at]), Some(trim_ows(&text[at + 1..]))),
        None => (trim_ows(text), None),
    }
}

/// Returns the text if it is a `token` of RFC 9110 §5.6.2.
fn token(text: &[u8]) -> Option<String> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (!text.is_empty() && text.iter().all(is_token)).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Returns the text if all its bytes are `baggage-octet`s. It may be empty.
fn octets(text: &[u8]) -> Option<String> {
    text.iter().copied().all(is_octet).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Returns whether the byte is a `baggage-octet`: printable ASCII without space, `"`, `,`, `;` and `\`.
const fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// Percent-decodes text. A `%` that is not followed by two hexadecimal digits is kept.
fn percent_decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let code = if *first == b'%' { after.split_first_chunk::<2>() } else { None };
        match code.and_then(|(digits, after)| Some((hex::decode::<1>(digits, Case::Either)?, after))) {
            Some(([byte], after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct PercentEncoded<'a>(&'a str);

impl fmt::Display for PercentEncoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if is_octet(byte) && byte != b'%' {
                fmt::Write::write_char(f, char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
