//! The round-trip property of accepted bodies, for spans, log records and data points in both encodings.

use throughline_otlp::{Encoding, Record, decode, encode};

/// Checks that the accepted records of a body can be encoded and decoded again.
pub fn round_trip<R: Record>(body: &[u8], encoding: Encoding) {
    let Ok(decoded) = decode::<R>(body, encoding) else {
        return;
    };
    for other in [Encoding::Protobuf, Encoding::Json] {
        let written = encode(&decoded.records, other);
        let again = decode::<R>(&written, other).expect("encoded records can be decoded");
        assert!(again.rejections.is_empty());
        assert_eq!(again.records.len(), decoded.records.len());
        // JSON has only one NaN; all other values keep their bytes.
        if encoding == Encoding::Json || other == Encoding::Protobuf {
            assert_eq!(encode(&again.records, other), written);
        }
    }
}
