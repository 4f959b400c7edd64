//! What a page finds in the browser's storage may be anything: records that are read are written as they were, and a session is
//! read in one form only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_browser::fuzzing::{session_again, stored_again};

fuzz_target!(|text: &str| {
    let again = stored_again(text);
    assert!(text.starts_with(&again));
    assert_eq!(stored_again(&again), again);
    if let Some(session) = session_again(text) {
        assert_eq!(session_again(&session).as_deref(), Some(session.as_str()));
    }
});
