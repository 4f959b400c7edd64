//! All headers of one request, as a server reads them. Each line is a header: `p`, `s` or `b` says which, the rest is
//! its value. Many headers mean what one header with commas means, and none of the three ever changes what another is
//! read as.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_context::{Baggage, TraceParent, TraceState};

fuzz_target!(|request: &[u8]| {
    let values = |name: u8| -> Vec<&[u8]> {
        request
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.split_first())
            .filter_map(|(first, value)| (*first == name).then_some(value))
            .collect()
    };
    let (parents, states, members) = (values(b'p'), values(b's'), values(b'b'));

    let parent = TraceParent::from_headers(parents.iter().copied());
    assert!(parent.is_none() || parents.len() == 1);

    let state = TraceState::parse_headers(states.iter().copied());
    assert_eq!(TraceState::parse_headers([states.join(&b',').as_slice()]), state);

    let baggage = Baggage::parse_headers(members.iter().copied());
    assert_eq!(Baggage::parse_headers([members.join(&b',').as_slice()]), baggage);

    // What is sent on is read again as the same by the next one.
    if let Some(parent) = parent {
        assert_eq!(TraceParent::from_headers([parent.to_bytes().as_slice()]), Some(parent));
    }
    let mut sent_on = Baggage::default();
    for entry in baggage.entries() {
        let properties = entry.properties().iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
        let made = throughline_context::Entry::new(entry.key(), entry.value())
            .and_then(|made| made.with_properties(&properties));
        assert_eq!(made.as_ref(), Ok(entry));
        assert_eq!(made.and_then(|made| sent_on.push(made)), Ok(()));
    }
    assert_eq!(sent_on, baggage);
});
