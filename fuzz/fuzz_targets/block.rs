//! Damaged blocks with a correct checksum: a block that can be decoded matches its head, and round-trips.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use throughline_context::{SpanId, TraceId};
use throughline_otlp::{Event, KeyValue, Link, Resource, Scope, Span, StatusCode, Value};
use throughline_store::fuzzing::{assembled, decode, decode_trace, encode, parts, sealed, span_ids};

/// Changes to a valid block, or arbitrary bytes.
type Input<'a> = (Vec<(u16, u8)>, u16, &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (changes, length, bytes) = input;
    check(&sealed(bytes));
    let (head, mut payload) = VALID.clone();
    for (at, byte) in &changes {
        let end = payload.len();
        payload[usize::from(*at) % end] = *byte;
    }
    payload.truncate(payload.len().wrapping_sub(usize::from(length)).min(payload.len()));
    payload.extend_from_slice(bytes);
    check(&assembled(&head, &payload).expect("writing to a vector cannot fail"));
    check(&assembled(bytes, &VALID.1).expect("writing to a vector cannot fail"));
});

fn check(block: &[u8]) {
    let Some(spans) = decode(block) else { return };
    let ids = span_ids(block).expect("the head was decoded with the block");
    assert!(ids.iter().eq(spans.iter().map(|span| &span.span_id)));
    for trace_id in spans.iter().map(|span| span.trace_id) {
        let of_one: Vec<_> = spans.iter().filter(|span| span.trace_id == trace_id).collect();
        let alone = decode_trace(block, trace_id).expect("a decodable block can be decoded in part");
        // Compared by `Debug`, because NaN is not equal to itself.
        assert_eq!(format!("{alone:?}"), format!("{of_one:?}"));
    }
    let Some((count, again)) = encode(&spans).filter(|(count, _)| *count > 0) else { return };
    let read = decode(&again).expect("an encoded block can be decoded");
    assert_eq!(format!("{read:?}"), format!("{:?}", &spans[..count]));
}

/// Three spans of two traces with a value in every column.
static VALID: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let resource =
        Arc::new(Resource { attributes: vec![KeyValue::new("service.name", "bank")], ..Resource::default() });
    let scope = Arc::new(Scope { name: "vault".to_owned(), ..Scope::default() });
    let trace_id = |number| TraceId::from_bytes([number; 16]).expect("the id is not zero");
    let span_id = |number| SpanId::from_bytes([number; 8]).expect("the id is not zero");
    let attributes = vec![
        KeyValue::new("text", "payday"),
        KeyValue::new("int", -7),
        KeyValue::new("double", 0.1 + 0.2),
        KeyValue::new("thousandths", 12.345),
        KeyValue { key: "empty".to_owned(), value: Value::Empty },
        KeyValue { key: "bool".to_owned(), value: Value::Bool(true) },
        KeyValue { key: "bytes".to_owned(), value: Value::Bytes(vec![0, 255]) },
        KeyValue::new("list", vec![Value::from("a"), Value::Map(vec![KeyValue::new("k", 1)])]),
    ];
    let span = |trace, id, parent: Option<u8>| {
        let mut span = Span::new(trace_id(trace), span_id(id), Arc::clone(&resource), Arc::clone(&scope));
        span.parent_span_id = parent.map(span_id);
        span.name = format!("transfer {id}");
        span.start_ns = 1_700_000_000_000_000_000 + u64::from(id);
        span.end_ns = span.start_ns + 10_000_000;
        span.attributes.clone_from(&attributes);
        span
    };
    let mut full = span(1, 2, Some(1));
    full.trace_state = "a=b".to_owned();
    full.status.code = StatusCode::Error;
    full.status.message = "no money".to_owned();
    full.flags = 0x101;
    (full.dropped_attributes_count, full.dropped_events_count, full.dropped_links_count) = (1, 2, 3);
    full.events = vec![Event {
        time_ns: full.start_ns,
        name: "exception".to_owned(),
        attributes: attributes.clone(),
        dropped_attributes_count: 4,
    }];
    full.links = vec![Link {
        trace_id: trace_id(9),
        span_id: span_id(9),
        trace_state: "c=d".to_owned(),
        flags: 1,
        attributes: attributes.clone(),
        dropped_attributes_count: 5,
    }];
    parts(&[span(1, 1, None), full, span(2, 3, Some(8))]).expect("writing to a vector cannot fail")
});
