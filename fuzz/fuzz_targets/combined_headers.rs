//! The trace context headers of one request. Each line of the input is a header: `p`, `s` or `b` selects its name, the
//! rest is the value. Several headers are equivalent to one header with commas, and the three kinds of headers are
//! parsed independently.
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

    // The next server parses the forwarded headers to the same values.
    if let Some(parent) = parent {
        assert_eq!(TraceParent::from_headers([parent.to_bytes().as_slice()]), Some(parent));
    }
    let mut forwarded = Baggage::default();
    for entry in baggage.entries() {
        let properties = entry.properties().iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
        let rebuilt = throughline_context::Entry::new(entry.key(), entry.value())
            .and_then(|rebuilt| rebuilt.with_properties(&properties));
        assert_eq!(rebuilt.as_ref(), Ok(entry));
        assert_eq!(rebuilt.and_then(|rebuilt| forwarded.push(rebuilt)), Ok(()));
    }
    assert_eq!(forwarded, baggage);
});
