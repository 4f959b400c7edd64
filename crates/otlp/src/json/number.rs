//! Scalars in the forms that ProtoJSON allows: numbers as strings, enumerations by name, `null` for the default.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// Deserializes a value, and `null` as the default.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    // default: `null` is the default of its field in ProtoJSON
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An integer that may be encoded as a string, or with a fraction of zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole<T>(pub(crate) T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor(PhantomData))
    }
}

struct WholeVisitor<T>(PhantomData<T>);

impl<T: TryFrom<i128>> WholeVisitor<T> {
    fn narrow<E: de::Error>(number: i128) -> Result<Whole<T>, E> {
        T::try_from(number).map(Whole).map_err(|_| E::custom(format_args!("integer {number} is out of range")))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for WholeVisitor<T> {
    type Value = Whole<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, as a number or a string")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Self::narrow(number.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Self::narrow(number.into())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // Within ±2⁶⁴ the conversion is exact; the range of the type is checked after it.
        if number.fract() == 0.0 && number.abs() <= 18_446_744_073_709_551_616.0 {
            Self::narrow(number as i128)
        } else {
            Err(E::custom(format_args!("{number} is not an integer")))
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.parse::<i128>() {
            Ok(number) => Self::narrow(number),
            Err(_) => Err(E::custom("the string is not an integer")),
        }
    }
}

/// A floating-point number that may be encoded as a string, including `NaN`, `Infinity` and `-Infinity`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Float(pub(crate) f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FloatVisitor)
    }
}

struct FloatVisitor;

impl Visitor<'_> for FloatVisitor {
    type Value = Float;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a string with a number")
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Float, E> {
        Ok(Float(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Float, E> {
        Ok(Float(number as f64))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Float, E> {
        Ok(Float(number as f64))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Float, E> {
        // The parser of the standard library knows all three special names.
        text.parse().map(Float).map_err(|_| E::custom("the string is not a number"))
    }
}

/// The number for unspecified or unknown values, in every enumeration.
const UNKNOWN: i32 = 0;

/// An enumeration, by number or by its name in the `.proto` file. Unknown values are [`UNKNOWN`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Enumeration<N>(pub(crate) i32, PhantomData<N>);

/// The names of the values of an enumeration.
pub(crate) trait Named {
    /// Returns the number of the value with this name.
    fn number(name: &str) -> Option<i32>;
}

impl<'de, N: Named> Deserialize<'de> for Enumeration<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnumerationVisitor(PhantomData))
    }
}

struct EnumerationVisitor<N>(PhantomData<N>);

impl<N: Named> Visitor<'_> for EnumerationVisitor<N> {
    type Value = Enumeration<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an enumeration, as a number or a name")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Enumeration(i32::try_from(number).unwrap_or(UNKNOWN), PhantomData))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Enumeration(i32::try_from(number).unwrap_or(UNKNOWN), PhantomData))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let number = N::number(name).or_else(|| name.parse().ok());
        Ok(Enumeration(number.unwrap_or(UNKNOWN), PhantomData))
    }
}
