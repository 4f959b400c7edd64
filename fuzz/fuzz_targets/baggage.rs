//! Arbitrary `baggage` headers, one per line: parsed baggage is within the limits, and round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_context::Baggage;

fuzz_target!(|headers: &[u8]| {
    let mut baggage = Baggage::parse_headers(headers.split(|byte| *byte == b'\n'));
    for key in ["ours", "a"] {
        let formatted = baggage.to_string();
        assert!(formatted.len() <= 8192 && baggage.entries().len() <= 64);
        assert!(formatted.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(Baggage::parse_headers([formatted.as_bytes()]), baggage);

        let value = String::from_utf8_lossy(headers);
        match baggage.insert(key, &value) {
            Ok(()) => assert_eq!(baggage.get(key), Some(&*value)),
            Err(_) => assert_eq!(baggage.to_string(), formatted),
        }
    }
});
