//! The `baggage` header: W3C Baggage §3.

use crate::{
    hex::{self, Case},
    trim_ows,
};
use std::fmt;
use thiserror::Error;

/// How many members are kept: W3C Baggage §3.3.2.
const MAX_MEMBERS: usize = 64;
/// How many bytes all headers may take together, commas included: W3C Baggage §3.3.2.
const MAX_BYTES: usize = 8192;

/// What an application carries along with a request. Never more than 64 members or 8192 bytes, as printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    entries: Vec<Entry>,
    /// The length of what `Display` writes.
    length: usize,
}

/// One member of a [`Baggage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    key: String,
    value: String,
    properties: Vec<Property>,
}

/// What is said about an [`Entry`], after a semicolon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    key: String,
    value: Option<String>,
}

/// Why a member is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BaggageError {
    /// The key is not a token (RFC 9110 §5.6.2).
    #[error("baggage key is not a token")]
    Key,
    /// A property is not a token, or its value is not made of `baggage-octet`s.
    #[error("baggage property is not valid")]
    Property,
    /// There are 64 members already.
    #[error("baggage has 64 members already")]
    TooManyMembers,
    /// All together would take more than 8192 bytes.
    #[error("baggage would take more than 8192 bytes")]
    TooLong,
}

impl Entry {
    /// A member without properties. The value may be any text.
    ///
    /// # Errors
    /// [`BaggageError::Key`].
    pub fn new(key: &str, value: &str) -> Result<Self, BaggageError> {
        let key = token(key.as_bytes()).ok_or(BaggageError::Key)?;
        Ok(Self { key, value: value.to_owned(), properties: Vec::new() })
    }

    /// The same member with these properties instead of its own: `p1;p2=v`, percent-encoded as in the header. Empty ones are
    /// skipped.
    ///
    /// # Errors
    /// [`BaggageError::Property`].
    pub fn with_properties(mut self, properties: &str) -> Result<Self, BaggageError> {
        self.properties =
            parse_properties(properties.as_bytes().split(|byte| *byte == b';')).ok_or(BaggageError::Property)?;
        Ok(self)
    }

    /// The name: a token, case-sensitive.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value, percent-decoded; bytes that were not UTF-8 are U+FFFD, as the specification wants.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// In their order.
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
    /// The name: a token.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value as it came, percent-encoding and all; `None` without an equals sign.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl Baggage {
    /// Reads all `baggage` headers of a request, in their order, as one list. Malformed members are dropped, and
    /// so are those that would cross a limit; a member is kept whole or not at all. Two members may have the same
    /// key.
    #[must_use]
    pub fn parse_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut baggage = Self::default();
        for member in values.into_iter().flat_map(|value| value.split(|byte| *byte == b',')) {
            // Not read in vain: there may be thousands.
            if baggage.entries.len() == MAX_MEMBERS {
                break;
            }
            if let Some(entry) = Entry::parse(member) {
                // best effort: a member that does not fit is left out, and a shorter one may fit
                let _ = baggage.push(entry);
            }
        }
        baggage
    }

    /// The members, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there are no members; the header is then left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`; of the last such member, where there are several.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rfind(|entry| entry.key == key).map(Entry::value)
    }

    /// Puts a member last, instead of all with the same key. The value may be any text.
    ///
    /// # Errors
    /// See [`BaggageError`]; nothing is changed then.
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

    /// Puts a member last, whether or not there are others with its key.
    ///
    /// # Errors
    /// [`BaggageError::TooManyMembers`], [`BaggageError::TooLong`]; nothing is changed then.
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

/// The header value, percent-encoded; empty if there are no members.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{entry}")?;
        }
        Ok(())
    }
}

/// As it stands in the header, after a semicolon.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// The member as it stands in the header, percent-encoded.
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

/// What stands before and after the first equals sign, without blanks.
fn pair(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (trim_ows(&text[..at]), Some(trim_ows(&text[at + 1..]))),
        None => (trim_ows(text), None),
    }
}

/// `token` of RFC 9110 §5.6.2.
fn token(text: &[u8]) -> Option<String> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (!text.is_empty() && text.iter().all(is_token)).then(|| String::from_utf8_lossy(text).into_owned())
}

/// A value of nothing but `baggage-octet`s, of which there may be none.
fn octets(text: &[u8]) -> Option<String> {
    text.iter().copied().all(is_octet).then(|| String::from_utf8_lossy(text).into_owned())
}

/// `baggage-octet`: printable ASCII without blank, `"`, `,`, `;` and `\`.
const fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// A `%` that no two hexadecimal digits follow stands for itself.
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
