//! Arbitrary content of the browser's storage: decoded records and sessions are encoded in one form, which decodes to
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_browser::fuzzing::{session_again, stored_again};

fuzz_target!(|text: &str| {
    // Shorter if a length was encoded with more bytes than necessary; never longer.
    let again = stored_again(text);
    assert!(again.len() <= text.len());
    assert_eq!(stored_again(&again), again);
    if let Some(session) = session_again(text) {
        assert_eq!(session_again(&session).as_deref(), Some(session.as_str()));
    }
});
