//! Serialization of values to JSON.

use serde::{Serialize, Serializer};

/// Serializes a value of strings, numbers, lists and objects with string keys, which cannot fail.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers, lists and objects with string keys always serialize")
}

// serde requires a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub(super) fn display<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Serializes an optional value as text. Fields that are `None` should be skipped.
pub(super) fn display_some<T: std::fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
