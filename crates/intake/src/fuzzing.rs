//! What fuzz targets drive, which nobody else should: it may change at any time.

use crate::{
    body::{self, Compression, Memory},
    config::BodyLimits,
    grpc,
    redact::{RedactionRule, Redactor},
};
use std::time::Duration;

/// What is left of a body of this content encoding, if it is one and not longer than `limit` bytes, read in pieces of
/// `piece` bytes.
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

/// The one message of a gRPC body, and whether it is compressed.
#[must_use]
pub fn unframe(framed: &[u8]) -> Option<(bool, &[u8])> {
    grpc::unframe(framed).ok()
}

/// The text without secrets.
#[must_use]
pub fn redact(text: &str) -> String {
    let redactor = Redactor::new(RedactionRule::default_rules());
    redactor.redacted(text).unwrap_or_else(|| text.to_owned())
}
