//! Compressed bodies and frames: arbitrary bytes are handled within the limit, and valid bodies are restored,
//! regardless of how they are split.
#![no_main]

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use throughline_intake::fuzzing::{inflate, unframe};

const LIMIT: usize = 1 << 16;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let piece = usize::from(piece) + 1;
    for encoding in ["gzip", "zstd", "identity"] {
        let inflated = inflate(bytes, encoding, LIMIT, piece);
        assert!(inflated.as_ref().is_none_or(|inflated| inflated.len() <= LIMIT));
        assert_eq!(inflated, inflate(bytes, encoding, LIMIT, bytes.len().max(1)));
    }

    let fits = (bytes.len() <= LIMIT).then_some(bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).expect("writing to a vector cannot fail");
    let gzip = gzip.finish().expect("writing to a vector cannot fail");
    assert_eq!(inflate(&gzip, "gzip", LIMIT, piece).as_deref(), fits);
    let zstd = zstd::encode_all(bytes, 1).expect("writing to a vector cannot fail");
    assert_eq!(inflate(&zstd, "zstd", LIMIT, piece).as_deref(), fits);

    if let Some((is_compressed, message)) = unframe(bytes) {
        let length = u32::try_from(message.len()).expect("the length was read from 32 bits").to_be_bytes();
        assert_eq!([&[u8::from(is_compressed)][..], &length, message].concat(), bytes);
    }
});
