//! Laws: what is written can be read again, alike, in both encodings, by us and by others; nothing panics.

mod strategies;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::ResourceSpans};
use proptest::prelude::*;
use prost::Message;
use throughline_otlp::{
    Encoding, Span, decode_resource_scope, decode_span, decode_traces, encode_resource_scope, encode_span,
    encode_traces,
};

/// Grouping may reorder spans, so they are compared as a set with multiplicities.
fn sorted(spans: &[Span]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for span in spans {
        *counts.entry(format!("{span:?}")).or_default() += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn bodies(spans in strategies::spans()) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let body = encode_traces(&spans, encoding);
            let decoded = decode_traces(&body, encoding).unwrap();
            prop_assert_eq!(&decoded.rejections, &vec![]);
            prop_assert_eq!(sorted(&decoded.spans), sorted(&spans));
            // In the order of its groups a body is written as it was read.
            prop_assert_eq!(encode_traces(&decoded.spans, encoding), body);
        }
    }

    #[test]
    fn single_spans(spans in strategies::spans()) {
        for span in spans {
            let shared = encode_resource_scope(&span.resource, &span.scope);
            let (resource, scope) = decode_resource_scope(&shared).unwrap();
            let read = decode_span(&encode_span(&span), &resource, &scope).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{span:?}"));
        }
    }

    /// The JSON of others' serde support and ours mean the same protobuf.
    #[test]
    fn others_read_our_json_and_we_theirs(spans in strategies::spans()) {
        let spans: Vec<Span> = spans
            .into_iter()
            .filter(|span| !format!("{span:?}").contains("inf"))
            .collect();
        let protobuf = encode_traces(&spans, Encoding::Protobuf);
        let theirs = ExportTraceServiceRequest::decode(protobuf.as_slice()).unwrap();

        let read: ExportTraceServiceRequest =
            serde_json::from_slice(&encode_traces(&spans, Encoding::Json)).unwrap();
        prop_assert_eq!(&read, &theirs);

        let json = serde_json::to_vec(&theirs).unwrap();
        let decoded = decode_traces(&json, Encoding::Json).unwrap();
        prop_assert_eq!(sorted(&decoded.spans), sorted(&spans));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_traces(&bytes, Encoding::Protobuf);
        let _ = decode_traces(&bytes, Encoding::Json);
        let _ = decode_resource_scope(&bytes);
    }

    /// Nearly right bodies go deeper into the parsers than noise does.
    #[test]
    fn damaged_bodies_do_not_panic(
        spans in strategies::spans(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let mut body = encode_traces(&spans, encoding);
            if body.is_empty() {
                continue;
            }
            for (at, byte) in &damage {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            if let Ok(decoded) = decode_traces(&body, encoding) {
                // What was taken can be written and taken again.
                for encoding in [Encoding::Protobuf, Encoding::Json] {
                    let again = decode_traces(&encode_traces(&decoded.spans, encoding), encoding);
                    prop_assert_eq!(again.unwrap().spans.len(), decoded.spans.len());
                }
            }
        }
    }
}

#[test]
fn spans_are_grouped_by_content() {
    let body = br#"{"resourceSpans":[
        {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeSpans":[
            {"scope":{"name":"x"},"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000001"}]},
            {"scope":{"name":"y"},"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000002"}]}]},
        {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeSpans":[
            {"scope":{"name":"x"},"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000003"}]}]},
        {"resource":{},"scopeSpans":[
            {"scope":{"name":"x"},"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000004"}]}]}
    ]}"#;
    let decoded = decode_traces(body, Encoding::Json).unwrap();
    let protobuf = encode_traces(&decoded.spans, Encoding::Protobuf);
    let groups: Vec<ResourceSpans> = ExportTraceServiceRequest::decode(protobuf.as_slice()).unwrap().resource_spans;
    let shape: Vec<Vec<Vec<u8>>> = groups
        .iter()
        .map(|group| {
            group.scope_spans.iter().map(|scope| scope.spans.iter().map(|span| span.span_id[7]).collect()).collect()
        })
        .collect();
    assert_eq!(shape, [vec![vec![1, 3], vec![2]], vec![vec![4]]]);
}
