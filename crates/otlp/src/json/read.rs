//! Parsing of JSON objects.

use serde::{
    Deserialize,
    de::{self, DeserializeSeed},
};

use crate::DecodeError;

/// Parses an object. Other values are rejected, since serde would accept an array for a struct, and `[]` for an empty
/// one.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, serde_json::Error> {
    parse_seed(text, std::marker::PhantomData)
}

/// Parses an object with a seed; see [`parse`].
pub(super) fn parse_seed<'a, S: DeserializeSeed<'a>>(text: &'a [u8], seed: S) -> Result<S::Value, serde_json::Error> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(de::Error::custom("expected an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}
