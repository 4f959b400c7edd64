use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*};
use throughline_context::{SpanId, TraceId};
use throughline_otlp::{Event, KeyValue, Link, Resource, Scope, Span, SpanKind, Status, StatusCode, Value};

use super::*;
use crate::StoreError;

#[path = "../../tests/golden/spans.rs"]
mod golden;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c]", ".{0,20}", Just("http.request.method".to_owned())]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        text().prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("NaN is not equal to itself", |number| !number.is_nan()).prop_map(Value::Double),
        (-10_000..10_000_i64).prop_map(|number| Value::Double(number as f64 / 1_000.0)),
        vec(any::<u8>(), 0..5).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec((text(), inner), 0..3).prop_map(|entries| Value::Map(
                entries.into_iter().map(|(key, value)| KeyValue { key, value }).collect()
            )),
        ]
    })
}

/// Generates attributes; keys may occur twice, and in any order.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), value()).prop_map(|(key, value)| KeyValue { key, value }), 0..4)
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    (1..4_u8).prop_map(|number| TraceId::from_bytes([number; 16]).unwrap())
}

fn span_id() -> impl Strategy<Value = SpanId> {
    (1..9_u64).prop_map(|number| SpanId::from_bytes(number.to_be_bytes()).unwrap())
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(|(time_ns, name, attributes, dropped)| Event {
        time_ns,
        name,
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn link() -> impl Strategy<Value = Link> {
    (trace_id(), span_id(), text(), any::<u32>(), attributes(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, flags, attributes, dropped_attributes_count)| Link {
            trace_id,
            span_id,
            trace_state,
            flags,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), span_id(), option::of(span_id()));
    let source = (attributes(), attributes(), text());
    let times = (any::<u64>(), any::<u64>());
    let small = (0..6_i32, 0..3_i32, any::<u32>());
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    let rare = (text(), text(), option::of(any::<[u32; 3]>()));
    (ids, source, times, small, text(), lists, rare).prop_map(|(ids, source, times, small, name, lists, rare)| {
        let resource = Resource { attributes: source.0, ..Resource::default() };
        let scope = Scope { name: source.2, attributes: source.1, ..Scope::default() };
        let dropped = rare.2.unwrap_or_default();
        Span {
            parent_span_id: ids.2,
            trace_state: rare.0,
            flags: small.2,
            name,
            kind: SpanKind::from_number(small.0),
            start_ns: times.0,
            end_ns: times.1,
            attributes: lists.0,
            dropped_attributes_count: dropped[0],
            events: lists.1,
            dropped_events_count: dropped[1],
            links: lists.2,
            dropped_links_count: dropped[2],
            status: Status { code: StatusCode::from_number(small.1), message: rare.1 },
            ..Span::new(ids.0, ids.1, Arc::new(resource), Arc::new(scope))
        }
    })
}

fn encode(spans: &[Span]) -> (usize, Vec<u8>) {
    let refs: Vec<&Span> = spans.iter().collect();
    Encoder::new().unwrap().encode(&refs).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn encoded_spans_are_decoded(spans in vec(span(), 1..12)) {
        let (count, block) = encode(&spans);
        prop_assert_eq!(count, spans.len());
        prop_assert_eq!(&decode(&block).unwrap().0, &spans);
        for number in 1..5 {
            let trace_id = TraceId::from_bytes([number; 16]).unwrap();
            let of_one: Vec<Span> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
            prop_assert_eq!(decode_trace(&block, trace_id).unwrap(), of_one);
        }
        let head = head(&block).unwrap();
        prop_assert!(head.span_ids.iter().eq(spans.iter().map(|span| &span.span_id)));
        let errors: usize = head.runs.iter().map(|run| run.errors).sum();
        prop_assert_eq!(errors, spans.iter().filter(|span| span.is_error()).count());
    }

    #[test]
    fn an_encoder_keeps_no_state_between_blocks(first in vec(span(), 1..6), second in vec(span(), 1..6)) {
        let mut encoder = Encoder::new().unwrap();
        encoder.encode(&first.iter().collect::<Vec<_>>()).unwrap();
        let (_, block) = encoder.encode(&second.iter().collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(decode(&block).unwrap().0, second);
    }

    #[test]
    fn the_checksum_detects_damage(spans in vec(span(), 1..4), at: prop::sample::Index, flip in 1..=255_u8, cut: bool) {
        let (_, mut block) = encode(&spans);
        let at = at.index(block.len());
        if cut { block.truncate(at) } else { block[at] ^= flip }
        prop_assert!(matches!(decode(&block), Err(StoreError::Corrupt(_))));
        prop_assert!(matches!(head(&block), Err(StoreError::Corrupt(_))));
    }

    /// Damaged bytes with a correct checksum neither panic nor use unbounded memory.
    #[test]
    fn damaged_bytes_with_a_checksum_do_not_panic(spans in vec(span(), 1..4), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (_, mut block) = encode(&spans);
        for (at, byte) in changes {
            let at = 4 + at.index(block.len() - 4);
            block[at] = byte;
        }
        let checksum = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&checksum.to_le_bytes());
        let _ = decode(&block);
    }

    #[test]
    fn a_damaged_payload_does_not_panic(spans in vec(span(), 1..4), payload in vec(any::<u8>(), 0..200), at: prop::sample::Index) {
        // A changed real payload is decoded further than random bytes.
        let refs: Vec<&Span> = spans.iter().collect();
        let mut real = Encoder::new().unwrap().payload_of(&refs);
        let head = head(&encode(&spans).1).unwrap();
        let at = at.index(real.len());
        for (place, byte) in payload.iter().take(3).enumerate() {
            let end = real.len();
            real[(at + place) % end] = *byte;
        }
        let _ = decode::spans(&head, &real, |_| true);
        let _ = decode::spans(&head, &payload, |_| true);
        let _ = decode::spans(&head, &real, |_| false);
    }
}

fn plain(number: u64, text: String) -> Span {
    let trace_id = TraceId::from_bytes([1; 16]).unwrap();
    let span_id = SpanId::from_bytes(number.to_be_bytes()).unwrap();
    let mut span = Span::new(trace_id, span_id, Arc::default(), Arc::default());
    span.attributes = vec![KeyValue::new("k", text)];
    span.parent_span_id = SpanId::from_bytes((number + 1).to_be_bytes());
    span
}

#[test]
fn blocks_are_bounded_but_accept_one_span_of_any_size() {
    let many: Vec<Span> = (1..=2_000).map(|number| plain(number, String::new())).collect();
    assert_eq!(encode(&many).0, MAX_SPANS);
    let large: Vec<Span> = (1..=5).map(|number| plain(number, format!("{number}").repeat(MAX_BYTES))).collect();
    let (count, block) = encode(&large);
    assert_eq!(count, 1);
    // Its parent is in the next block.
    assert_eq!(decode(&block).unwrap().0, large[..1]);
}

#[test]
fn conventional_keys_take_little_space_in_small_blocks() {
    let mut span = plain(1, String::new());
    span.attributes = ["http.request.method", "http.route", "http.response.status_code", "user_agent.original"]
        .map(|key| KeyValue::new(key, "GET"))
        .to_vec();
    let (_, block) = encode(&[span]);
    assert!(block.len() < 160, "{} bytes", block.len());
}

/// Existing blocks have to stay readable: a change of the format needs a new version.
#[test]
fn the_golden_block_is_read() {
    let block = include_bytes!("../../tests/golden/block-1.bin");
    let spans = golden::spans();
    assert_eq!(decode(block).unwrap().0, spans);
    for trace_id in [golden::trace_id(1), golden::trace_id(2)] {
        let of_one: Vec<_> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
        assert_eq!(decode_trace(block, trace_id).unwrap(), of_one);
    }
    let head = head(block).unwrap();
    assert!(head.span_ids.iter().eq(spans.iter().map(|span| &span.span_id)));
    assert_eq!(head.runs.iter().map(|run| (run.spans, run.errors)).collect::<Vec<_>>(), [(3, 1), (1, 0)]);
}

/// A changed dictionary has another id, and blocks with this one have to stay readable.
#[test]
fn the_dictionary_is_the_one_of_version_1() {
    assert_eq!(dictionary_id(), 0x758e_93d2);
}

#[test]
fn a_block_of_a_later_version_or_with_an_unknown_dictionary_is_rejected() {
    let (_, block) = encode(&[plain(1, String::new())]);
    let changed = |at: usize, byte: u8| {
        let mut rest = block[4..].to_vec();
        rest[at] = byte;
        sealed(&rest)
    };
    for result in [decode(&changed(0, 2)).map(drop), head(&changed(0, 2)).map(drop)] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::NewerBlock { file: "traces.db", found: 2, supported: 1 }), "{error:?}");
        assert!(error.to_string().starts_with("traces.db has a block of spans of format version 2"), "{error}");
    }
    assert!(matches!(decode(&changed(0, 0)), Err(StoreError::Corrupt(_))), "there is no version 0");
    let other = block[5] ^ 1;
    for result in [decode(&changed(1, other)).map(drop), head(&changed(1, other)).map(drop)] {
        let error = result.unwrap_err();
        let id = dictionary_id();
        assert!(
            matches!(error, StoreError::UnknownDictionary { found, supported, .. } if found == id ^ 1 && supported == id),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("traces.db has spans that are compressed with dictionary {:08x}", id ^ 1)),
            "{error}"
        );
    }
}
