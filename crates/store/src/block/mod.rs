//! Some hundred spans in a few bytes each.
//!
//! A block is what one commit, or a part of it, stores: spans with consecutive places in the order of commits, those of a trace
//! together. It stands by itself: whatever its spans share (keys, texts, resources, scopes) is in its own dictionary.
//!
//! ```text
//! checksum    CRC-32 of all that follows, 4 bytes, least significant first
//! head        how many spans; traces; runs of spans of one trace; span ids
//! payload     length before compression, then columns, compressed by Zstandard with `dictionary.txt`
//! ```
//!
//! The head is plain: which spans there are is known without the payload, and ids do not compress. In the payload, each
//! property of a span is a column, and each attribute key has a column of values, because like things compress well.
//! Times are differences, texts are numbers in the dictionary, and what most spans do not have (events, links, a status
//! message) takes one byte that says so.

mod attributes;
mod columns;
mod decode;
mod encode;
mod head;

pub(crate) use decode::{decode, decode_trace, head};
pub(crate) use encode::Encoder;
pub(crate) use head::Run;

use std::sync::LazyLock;

use zstd::dict::DecoderDictionary;

/// Spans in a block, at most.
pub(crate) const MAX_SPANS: usize = 256;
/// About how many bytes of texts and values a block has before it is closed; a single span may have more.
pub(crate) const MAX_BYTES: usize = 256 << 10;
/// What a payload may have after decompression: far more than the doors let in as one body.
const MAX_PAYLOAD_BYTES: usize = 1 << 30;
/// Zstandard's fastest level with entropy coding; higher ones take more time than they save bytes.
const LEVEL: i32 = 1;

/// Keys and values of the semantic conventions: what small blocks would otherwise have to spell out. It is part of the
/// format: a file can be read with the same text only.
const DICTIONARY: &str = include_str!("dictionary.txt");

static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY.as_bytes()));

/// A block with this head and payload, as it would be on disk.
#[cfg(feature = "fuzzing")]
pub(crate) fn assembled(head: &[u8], payload: &[u8]) -> Result<Vec<u8>, crate::StoreError> {
    Ok(sealed(&[head, &encode::compressed(payload)?].concat()))
}

/// A block with the right checksum over these bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn sealed(rest: &[u8]) -> Vec<u8> {
    [&crc32fast::hash(rest).to_le_bytes(), rest].concat()
}

#[cfg(test)]
mod tests;
