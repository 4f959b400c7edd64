//! The two encodings of OTLP/HTTP.

/// The encoding of a body (OTLP/HTTP, "Binary Protobuf Encoding" and "JSON Protobuf Encoding").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// Parses a `Content-Type` header and ignores its parameters, such as `charset`. Returns `None` for other types.
    #[must_use]
    pub fn from_content_type(header: &str) -> Option<Self> {
        let media_type = media_type(header);
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|encoding| media_type.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// Returns the value for the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Returns the media type of a `Content-Type` header without its parameters (RFC 9110, section 8.3.1). The case is
/// kept; media types are to be compared case-insensitively.
///
/// Parameters do not affect how an OTLP body is decoded, so they are not parsed, and malformed ones are ignored.
#[must_use]
pub fn media_type(header: &str) -> &str {
    header.split_once(';').map_or(header, |(media_type, _)| media_type).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_parsed_without_parameters() {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            assert_eq!(Encoding::from_content_type(encoding.content_type()), Some(encoding));
        }
        assert_eq!(Encoding::from_content_type(" Application/JSON ; charset=utf-8"), Some(Encoding::Json));
        assert_eq!(Encoding::from_content_type("application/json;charset"), Some(Encoding::Json));
        for other in ["", ";", "text/plain", "application/jsonl", "application/grpc"] {
            assert_eq!(Encoding::from_content_type(other), None, "{other}");
        }
    }
}
