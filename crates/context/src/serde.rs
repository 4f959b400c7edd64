//! Serialization of ids as hexadecimal strings: written in lower case, read in either case.

use crate::{SpanId, TraceId};
use ::serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::fmt;

macro_rules! as_hex {
    ($name:ident, $digits:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Hex;

                impl Visitor<'_> for Hex {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!($digits, " hexadecimal digits, not all zero"))
                    }

                    fn visit_str<E: Error>(self, digits: &str) -> Result<$name, E> {
                        $name::from_hex(digits).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Hex)
            }
        }
    };
}

as_hex!(TraceId, "32");
as_hex!(SpanId, "16");
