//! Redaction of arbitrary text: changed text contains the mark, redaction is idempotent, and a secret is removed
//! regardless of the text before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_intake::{REDACTED, fuzzing::redact};

fuzz_target!(|text: &str| {
    let once = redact(text);
    assert!(once == text || once.contains(REDACTED));
    assert_eq!(redact(&once), once);
    let mail = format!("{text} ada@example.com");
    assert!(!redact(&mail).contains("ada@example.com"));
});
