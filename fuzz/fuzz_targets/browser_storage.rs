//! What a page finds in the browser's storage may be anything: records and sessions that are read are written in one
//! form, which is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_browser::fuzzing::{session_again, stored_again};

fuzz_target!(|text: &str| {
    // Shorter, where a length was written with more bytes than it needs; never longer.
    let again = stored_again(text);
    assert!(again.len() <= text.len());
    assert_eq!(stored_again(&again), again);
    if let Some(session) = session_again(text) {
        assert_eq!(session_again(&session).as_deref(), Some(session.as_str()));
    }
});
