//! Arbitrary `traceparent` headers: a parsed header is formatted with the same fields, in version 00.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_context::TraceParent;

fuzz_target!(|value: &[u8]| {
    if let Ok(parent) = TraceParent::parse(value) {
        let formatted = parent.to_bytes();
        // All fields except for version and flags; unknown flags are cleared.
        assert_eq!(formatted[2..53], value[2..53]);
        assert_ne!(&value[..2], b"ff");
        assert!(value.len() == 55 || (&value[..2] != b"00" && value[55] == b'-'));
        assert_eq!(TraceParent::parse(&formatted), Ok(parent));
        assert_eq!(TraceParent::from_headers([value]), Some(parent));
        assert_eq!(TraceParent::from_headers([value, value]), None);
    }
});
