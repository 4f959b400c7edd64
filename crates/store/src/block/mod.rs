//! The columnar format of blocks of spans.
//!
//! A block has the spans of one commit, or a part of them: up to 256 spans at consecutive positions in commit order, with the spans
//! of a trace together. It is self-contained: everything its spans share (keys, texts, resources, scopes) is stored in the block.
//!
//! ```text
//! checksum    CRC-32 of the rest of the block, 4 bytes, little-endian
//! version     version of the format, 1 byte: 1
//! dictionary  id of the Zstandard dictionary, 4 bytes, little-endian: the CRC-32 of `dictionary.txt`
//! head        number of runs; each run's trace id, number of spans, and number of failed spans; span ids
//! payload     length before compression, then columns, compressed by Zstandard with `dictionary.txt`
//! ```
//!
//! The head is not compressed: the ids in a block can be read without the payload, and ids do not compress anyway. In the
//! payload, each property of a span is a column, and each attribute key has a column of values, because similar values compress
//! well. Times are differences, texts are numbers of the block's texts, and one byte has a bit for each property that few spans
//! have, such as events, links, or a status message.

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

/// The maximum number of spans in a block.
pub(crate) const MAX_SPANS: usize = 256;
/// The size of the payload, in bytes before compression, after which a block is closed; a single span may be larger.
pub(crate) const MAX_BYTES: usize = 256 << 10;
/// The maximum size of a payload after decompression: far more than a receiver accepts as one body.
const MAX_PAYLOAD_BYTES: usize = 1 << 30;
/// Zstandard's fastest level with entropy coding; higher levels cost more time than the saved bytes are worth.
const LEVEL: i32 = 1;

/// The version of the format that is written. The checksum before it is part of every version.
const VERSION: u8 = 1;

/// The Zstandard dictionary: keys and values of the semantic conventions, which small blocks would otherwise repeat. It is part
/// of the format: a block can only be read with the same text. So the id of a dictionary is a hash of its text, and each block
/// has the id.
const DICTIONARY: &str = include_str!("dictionary.txt");

/// The id of [`DICTIONARY`].
static DICTIONARY_ID: LazyLock<u32> = LazyLock::new(|| crc32fast::hash(DICTIONARY.as_bytes()));

/// Returns the id of the dictionary with which blocks are written.
pub(crate) fn dictionary_id() -> u32 {
    *DICTIONARY_ID
}

/// Returns whether blocks that were written with this dictionary can be read.
pub(crate) fn is_known_dictionary(id: u32) -> bool {
    id == dictionary_id()
}

/// Appends the version and the id of the dictionary, which precede the head.
fn put_version(into: &mut Vec<u8>) {
    into.push(VERSION);
    into.extend_from_slice(&dictionary_id().to_le_bytes());
}

static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY.as_bytes()));

/// Assembles a block from a head and a payload, as it would be on disk.
#[cfg(feature = "fuzzing")]
pub(crate) fn assembled(head: &[u8], payload: &[u8]) -> Result<Vec<u8>, crate::StoreError> {
    let mut rest = Vec::new();
    put_version(&mut rest);
    Ok(sealed(&[&rest, head, &encode::compressed(payload)?].concat()))
}

/// Prepends the correct checksum to the rest of a block.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn sealed(rest: &[u8]) -> Vec<u8> {
    [&crc32fast::hash(rest).to_le_bytes(), rest].concat()
}

#[cfg(test)]
mod tests;
