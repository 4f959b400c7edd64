//! Whatever is taken from JSON can be written and taken again, alike, in both encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_otlp::{Encoding, decode_traces, encode_traces};

fuzz_target!(|body: &[u8]| {
    let Ok(decoded) = decode_traces(body, Encoding::Json) else {
        return;
    };
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let written = encode_traces(&decoded.spans, encoding);
        let again = decode_traces(&written, encoding).expect("what was written can be read");
        assert!(again.rejections.is_empty());
        assert_eq!(encode_traces(&again.spans, encoding), written);
    }
});
