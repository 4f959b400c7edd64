//! The entry points for fuzz targets. They are not part of the public API and may change at any time.

use crate::{
    body::{self, Compression, Memory},
    config::BodyLimits,
    grpc,
    redact::{RedactionRule, Redactor},
};
use std::time::Duration;

/// Decompresses a body of this content encoding in chunks of `piece` bytes. Returns `None` if it is malformed or longer
/// than `limit` bytes.
#[must_use]
pub fn inflate(bytes: &[u8], content_encoding: &str, limit: usize, piece: usize) -> Option<Vec<u8>> {
    let compression = match content_encoding {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    };
    let timeout = Duration::from_secs(60);
    let limits = BodyLimits { wire_bytes: usize::MAX, inflated_bytes: limit, timeout, total_bytes: limit };
    body::inflate_in_pieces(bytes, compression, &limits, &Memory::new(&limits), piece)
}

/// Returns the message of a gRPC body, and whether it is compressed; `None` if the body is malformed.
#[must_use]
pub fn unframe(framed: &[u8]) -> Option<(bool, &[u8])> {
    grpc::unframe(framed).ok()
}

/// Returns the text without secrets.
#[must_use]
pub fn redact(text: &str) -> String {
    let redactor = Redactor::new(RedactionRule::default_rules());
    redactor.redacted(text).unwrap_or_else(|| text.to_owned())
}
