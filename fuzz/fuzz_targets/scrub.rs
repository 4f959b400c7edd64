//! Texts of strangers: what is taken out says so, and a secret goes whatever stands before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_intake::{REDACTED, fuzzing::scrub};

fuzz_target!(|text: &str| {
    let once = scrub(text);
    assert!(once == text || once.contains(REDACTED));
    let mail = format!("{text} ada@example.com");
    assert!(!scrub(&mail).contains("ada@example.com"));
});
