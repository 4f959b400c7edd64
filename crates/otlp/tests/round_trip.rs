//! Property tests: encoded records decode to the same records, in both encodings, with this crate and with
//! `opentelemetry-proto`; nothing panics.

#![allow(clippy::unwrap_used, reason = "the lint does not recognize test helpers")]

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

/// Grouping may reorder records, so they are compared as a multiset.
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
        // Records in the order of their groups are encoded to the same body again.
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

/// Checks that `opentelemetry-proto` and this crate decode the JSON and the protobuf of each other to the same records.
fn compatible<R: Record, M>(mut records: Vec<R>) -> Result<(), TestCaseError>
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

/// Bodies with little damage reach more of the parsers than random bytes.
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
            // Accepted records can be encoded and decoded again.
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
    fn bodies_of_spans_round_trip(spans in strategies::spans()) {
        bodies(&spans)?;
    }

    #[test]
    fn bodies_of_log_records_round_trip(records in strategies::log_records()) {
        bodies(&records)?;
    }

    #[test]
    fn single_spans_round_trip(spans in strategies::spans()) {
        single_records(&spans)?;
    }

    #[test]
    fn single_log_records_round_trip(records in strategies::log_records()) {
        single_records(&records)?;
    }

    #[test]
    fn opentelemetry_proto_spans_are_compatible(spans in strategies::spans()) {
        compatible::<_, ExportTraceServiceRequest>(spans)?;
    }

    #[test]
    fn opentelemetry_proto_log_records_are_compatible(records in strategies::log_records()) {
        compatible::<_, ExportLogsServiceRequest>(records)?;
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
