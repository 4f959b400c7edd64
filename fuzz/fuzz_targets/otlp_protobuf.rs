//! Whatever is taken from protobuf can be written and taken again, alike, in both encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_otlp::{Encoding, decode_traces, encode_traces};

fuzz_target!(|body: &[u8]| {
    let Ok(decoded) = decode_traces(body, Encoding::Protobuf) else {
        return;
    };
    let protobuf = encode_traces(&decoded.spans, Encoding::Protobuf);
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let written = encode_traces(&decoded.spans, encoding);
        let again = decode_traces(&written, encoding).expect("what was written can be read");
        assert!(again.rejections.is_empty());
        assert_eq!(again.spans.len(), decoded.spans.len());
        // JSON has one NaN only; everything else keeps its bytes.
        if encoding == Encoding::Protobuf {
            assert_eq!(encode_traces(&again.spans, encoding), protobuf);
        }
    }
});
