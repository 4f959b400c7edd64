//! Whatever is read is within the limits, and the same when printed and read again. Lines are headers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_context::Baggage;

fuzz_target!(|headers: &[u8]| {
    let mut baggage = Baggage::parse_headers(headers.split(|byte| *byte == b'\n'));
    for key in ["ours", "a"] {
        let printed = baggage.to_string();
        assert!(printed.len() <= 8192 && baggage.entries().len() <= 64);
        assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(Baggage::parse_headers([printed.as_bytes()]), baggage);

        let value = String::from_utf8_lossy(headers);
        match baggage.insert(key, &value) {
            Ok(()) => assert_eq!(baggage.get(key), Some(&*value)),
            Err(_) => assert_eq!(baggage.to_string(), printed),
        }
    }
});
