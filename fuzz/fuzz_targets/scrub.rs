//! Texts of strangers: what is taken out says so, once is enough, and a secret goes whatever stands before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_intake::{REDACTED, fuzzing::scrub};

fuzz_target!(|text: &str| {
    let once = scrub(text);
    assert!(once == text || once.contains(REDACTED));
    assert_eq!(scrub(&once), once);
    let mail = format!("{text} ada@example.com");
    assert!(!scrub(&mail).contains("ada@example.com"));
});
