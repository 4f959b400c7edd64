//! Some hundred spans in a few bytes each.
//!
//! A block is what one commit, or a part of it, stores: spans with consecutive places in the order of commits, those of a trace
//! together. It stands by itself: whatever its spans share (keys, texts, resources, scopes) is in its own dictionary.
//!
//! ```text
//! checksum    CRC-32 of all that follows, 4 bytes, least significant first
//! version     of this format, 1 byte: 1
//! dictionary  its id, 4 bytes, least significant first: the CRC-32 of `dictionary.txt`
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
/// What a payload may have after decompression: far more than the receivers let in as one body.
const MAX_PAYLOAD_BYTES: usize = 1 << 30;
/// Zstandard's fastest level with entropy coding; higher ones take more time than they save bytes.
const LEVEL: i32 = 1;

/// The version of the format that is written. The checksum in front of it is part of every version.
const VERSION: u8 = 1;

/// Keys and values of the semantic conventions: what small blocks would otherwise have to spell out. It is part of the
/// format: a block can be read with the same text only. So a dictionary is known by its content, and each block has the id.
const DICTIONARY: &str = include_str!("dictionary.txt");

/// The id of [`DICTIONARY`].
static DICTIONARY_ID: LazyLock<u32> = LazyLock::new(|| crc32fast::hash(DICTIONARY.as_bytes()));

/// The id of the dictionary with which blocks are written.
pub(crate) fn dictionary_id() -> u32 {
    *DICTIONARY_ID
}

/// Whether blocks that were written with this dictionary can be read.
pub(crate) fn is_known_dictionary(id: u32) -> bool {
    id == dictionary_id()
}

/// Appends what is in front of the head.
fn put_version(into: &mut Vec<u8>) {
    into.push(VERSION);
    into.extend_from_slice(&dictionary_id().to_le_bytes());
}

static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY.as_bytes()));

/// A block with this head and payload, as it would be on disk.
#[cfg(feature = "fuzzing")]
pub(crate) fn assembled(head: &[u8], payload: &[u8]) -> Result<Vec<u8>, crate::StoreError> {
    let mut rest = Vec::new();
    put_version(&mut rest);
    Ok(sealed(&[&rest, head, &encode::compressed(payload)?].concat()))
}

/// A block with the right checksum over these bytes.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn sealed(rest: &[u8]) -> Vec<u8> {
    [&crc32fast::hash(rest).to_le_bytes(), rest].concat()
}

#[cfg(test)]
mod tests;
