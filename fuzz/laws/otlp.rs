//! Whatever is taken can be written and taken again, alike, in both encodings: for spans, log records and data points.

use throughline_otlp::{Encoding, Record, decode, encode};

/// The law, for a body in this encoding.
pub fn taken_again<R: Record>(body: &[u8], encoding: Encoding) {
    let Ok(decoded) = decode::<R>(body, encoding) else {
        return;
    };
    for other in [Encoding::Protobuf, Encoding::Json] {
        let written = encode(&decoded.records, other);
        let again = decode::<R>(&written, other).expect("what was written can be read");
        assert!(again.rejections.is_empty());
        assert_eq!(again.records.len(), decoded.records.len());
        // JSON has one NaN only; everything else keeps its bytes.
        if encoding == Encoding::Json || other == Encoding::Protobuf {
            assert_eq!(encode(&again.records, other), written);
        }
    }
}
