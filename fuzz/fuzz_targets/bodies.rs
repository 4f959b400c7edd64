//! Compressed bodies and frames: whatever is not one gets an answer within the limit, and what is one comes out as it
//! went in, however it was cut.
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
    gzip.write_all(bytes).expect("a vector takes everything");
    let gzip = gzip.finish().expect("a vector takes everything");
    assert_eq!(inflate(&gzip, "gzip", LIMIT, piece).as_deref(), fits);
    let zstd = zstd::encode_all(bytes, 1).expect("a vector takes everything");
    assert_eq!(inflate(&zstd, "zstd", LIMIT, piece).as_deref(), fits);

    if let Some((is_compressed, message)) = unframe(bytes) {
        let length = u32::try_from(message.len()).expect("the prefix says it in 32 bits").to_be_bytes();
        assert_eq!([&[u8::from(is_compressed)][..], &length, message].concat(), bytes);
    }
});
