//! Texts of strangers: what is scrubbed stays scrubbed, and what has no secret stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_intake::fuzzing::scrub;

fuzz_target!(|text: &str| {
    let once = scrub(text);
    assert_eq!(scrub(&once), once);
    let mail = format!("{text} ada@example.com");
    assert!(!scrub(&mail).contains("ada@example.com"));
});
