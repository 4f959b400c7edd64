//! Arbitrary `tracestate` headers, one per line: a parsed state is within the limits, and round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_context::TraceState;

fuzz_target!(|headers: &[u8]| {
    let Ok(state) = TraceState::parse_headers(headers.split(|byte| *byte == b'\n')) else { return };
    let formatted = state.to_string();
    assert_eq!(TraceState::parse_headers([formatted.as_bytes()]).as_ref(), Ok(&state));

    let mut keys: Vec<_> = state.iter().map(|(key, _)| key).collect();
    assert!(keys.len() <= 32);
    assert_eq!(keys.is_empty(), state.is_empty());
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));

    let mut changed = state.clone();
    assert_eq!(changed.insert_first("ours", "1"), Ok(()));
    assert_eq!(changed.iter().next(), Some(("ours", "1")));
    assert_eq!(TraceState::parse_headers([changed.to_string().as_bytes()]), Ok(changed));
});
