//! Laws: what is written can be read again, alike, in both encodings, by us and by others; nothing panics.

#![allow(clippy::unwrap_used, reason = "functions beside the tests, where the lint does not know that it is in a test")]

mod strategies;

use std::{collections::BTreeMap, fmt::Debug};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    trace::v1::ResourceSpans,
};
use proptest::prelude::*;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use throughline_otlp::{
    Encoding, Record, decode, decode_logs, decode_record, decode_resource_scope, decode_traces, encode, encode_record,
    encode_resource_scope, encode_traces,
};

const BOTH: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

/// Grouping may reorder records, so they are compared as a set with multiplicities.
fn sorted(records: &[impl Debug]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(format!("{record:?}")).or_default() += 1;
    }
    counts
}

fn bodies<R: Record>(records: &[R]) -> Result<(), TestCaseError> {
    for encoding in BOTH {
        let body = encode(records, encoding);
        let decoded = decode::<R>(&body, encoding).unwrap();
        prop_assert_eq!(&decoded.rejections, &vec![]);
        prop_assert_eq!(sorted(&decoded.records), sorted(records));
        // In the order of its groups a body is written as it was read.
        prop_assert_eq!(encode(&decoded.records, encoding), body);
    }
    Ok(())
}

fn single_records<R: Record>(records: &[R]) -> Result<(), TestCaseError> {
    for record in records {
        let (resource, scope) = record.source();
        let shared = encode_resource_scope(resource, scope);
        let (resource, scope) = decode_resource_scope(&shared).unwrap();
        let read: R = decode_record(&encode_record(record), &resource, &scope).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{record:?}"));
    }
    Ok(())
}

/// The JSON of others' serde support and ours mean the same protobuf, which others read as we do.
fn others<R: Record, M>(mut records: Vec<R>) -> Result<(), TestCaseError>
where
    M: Message + Debug + Default + PartialEq + Serialize + DeserializeOwned,
{
    records.retain(|record| !format!("{record:?}").contains("inf"));
    let protobuf = encode(&records, Encoding::Protobuf);
    let theirs = M::decode(protobuf.as_slice()).unwrap();
    prop_assert_eq!(theirs.encode_to_vec(), protobuf);

    let read: M = serde_json::from_slice(&encode(&records, Encoding::Json)).unwrap();
    prop_assert_eq!(&read, &theirs);

    let json = serde_json::to_vec(&theirs).unwrap();
    let decoded = decode::<R>(&json, Encoding::Json).unwrap();
    prop_assert_eq!(sorted(&decoded.records), sorted(&records));
    Ok(())
}

type Damage = Vec<(prop::sample::Index, u8)>;

/// Nearly right bodies go deeper into the parsers than noise does.
fn damaged_bodies<R: Record>(records: &[R], damage: &Damage) -> Result<(), TestCaseError> {
    for encoding in BOTH {
        let mut body = encode(records, encoding);
        if body.is_empty() {
            continue;
        }
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        if let Ok(decoded) = decode::<R>(&body, encoding) {
            // What was taken can be written and taken again.
            for encoding in BOTH {
                let again = decode::<R>(&encode(&decoded.records, encoding), encoding);
                prop_assert_eq!(again.unwrap().records.len(), decoded.records.len());
            }
        }
    }
    Ok(())
}

fn damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn bodies_of_spans(spans in strategies::spans()) {
        bodies(&spans)?;
    }

    #[test]
    fn bodies_of_log_records(records in strategies::log_records()) {
        bodies(&records)?;
    }

    #[test]
    fn single_spans(spans in strategies::spans()) {
        single_records(&spans)?;
    }

    #[test]
    fn single_log_records(records in strategies::log_records()) {
        single_records(&records)?;
    }

    #[test]
    fn others_read_our_spans_and_we_theirs(spans in strategies::spans()) {
        others::<_, ExportTraceServiceRequest>(spans)?;
    }

    #[test]
    fn others_read_our_log_records_and_we_theirs(records in strategies::log_records()) {
        others::<_, ExportLogsServiceRequest>(records)?;
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for encoding in BOTH {
            let _ = decode_traces(&bytes, encoding);
            let _ = decode_logs(&bytes, encoding);
        }
        let _ = decode_resource_scope(&bytes);
    }

    #[test]
    fn damaged_spans_do_not_panic(spans in strategies::spans(), damage in damage()) {
        damaged_bodies(&spans, &damage)?;
    }

    #[test]
    fn damaged_log_records_do_not_panic(records in strategies::log_records(), damage in damage()) {
        damaged_bodies(&records, &damage)?;
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
    let protobuf = encode_traces(&decoded.records, Encoding::Protobuf);
    let groups: Vec<ResourceSpans> = ExportTraceServiceRequest::decode(protobuf.as_slice()).unwrap().resource_spans;
    let shape: Vec<Vec<Vec<u8>>> = groups
        .iter()
        .map(|group| {
            group.scope_spans.iter().map(|scope| scope.spans.iter().map(|span| span.span_id[7]).collect()).collect()
        })
        .collect();
    assert_eq!(shape, [vec![vec![1, 3], vec![2]], vec![vec![4]]]);
}
