//! Spans as an OTLP `ExportTraceServiceRequest` in protobuf.
//!
//! Written by hand because a protobuf library costs the page tens of kilobytes; what it writes is decoded with
//! `opentelemetry-proto` in the tests. Field numbers are those of opentelemetry-proto 1.x, `trace/v1/trace.proto`.

use std::ops::Range;

use crate::span::{Attributes, SpanData, Value};

/// Who speaks: the resource and the instrumentation scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) resource: Attributes,
    pub(crate) scope_name: &'static str,
    pub(crate) scope_version: &'static str,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const FIXED32: u8 = 5;

/// OTLP's bits in `Span.flags` that say "it is known whether the parent is remote"; a browser's never is.
const FLAGS_HAS_IS_REMOTE: u32 = 0x100;
const STATUS_CODE_ERROR: u64 = 2;

/// A request, and which of the spans it carries.
pub(crate) type Part = (Range<usize>, Vec<u8>);

/// The request that carries `spans`.
pub(crate) fn export_request<'a>(origin: &Origin, spans: impl Iterator<Item = &'a SpanData>) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    message(&mut out, 1, |resource_spans| {
        message(resource_spans, 1, |resource| attributes(resource, 1, &origin.resource));
        message(resource_spans, 2, |scope_spans| {
            message(scope_spans, 1, |scope| {
                bytes(scope, 1, origin.scope_name.as_bytes());
                bytes(scope, 2, origin.scope_version.as_bytes());
            });
            for data in spans {
                message(scope_spans, 2, |out| span(out, data));
            }
        });
    });
    out
}

/// The requests that carry `spans`, none longer than `limit_bytes`; and how many spans are too large to be sent so.
///
/// Each comes with the range of `spans` that it carries.
pub(crate) fn export_requests_within(origin: &Origin, spans: &[SpanData], limit_bytes: usize) -> (Vec<Part>, usize) {
    if spans.is_empty() {
        return (Vec::new(), 0);
    }
    let request = export_request(origin, spans.iter());
    if request.len() <= limit_bytes {
        return (vec![(0..spans.len(), request)], 0);
    }
    if spans.len() == 1 {
        return (Vec::new(), 1);
    }
    let (first, second) = spans.split_at(spans.len() / 2);
    let (mut requests, mut too_large) = export_requests_within(origin, first, limit_bytes);
    let (more, more_too_large) = export_requests_within(origin, second, limit_bytes);
    let middle = first.len();
    requests.extend(more.into_iter().map(|(range, request)| (range.start + middle..range.end + middle, request)));
    too_large += more_too_large;
    (requests, too_large)
}

fn span(out: &mut Vec<u8>, data: &SpanData) {
    bytes(out, 1, &data.context.trace_id.to_bytes());
    bytes(out, 2, &data.context.span_id.to_bytes());
    if let Some(parent) = data.parent {
        bytes(out, 4, &parent.to_bytes());
    }
    bytes(out, 5, data.name.as_bytes());
    varint_field(out, 6, data.kind as u64);
    fixed64(out, 7, data.start_ns.cast_unsigned());
    fixed64(out, 8, data.end_ns.cast_unsigned());
    attributes(out, 9, &data.attributes);
    for event in &data.events {
        message(out, 11, |out| {
            fixed64(out, 1, event.time_ns.cast_unsigned());
            bytes(out, 2, event.name.as_bytes());
        });
    }
    if data.error {
        message(out, 15, |out| varint_field(out, 3, STATUS_CODE_ERROR));
    }
    tag(out, 16, FIXED32);
    out.extend_from_slice(&(u32::from(data.context.flags.bits()) | FLAGS_HAS_IS_REMOTE).to_le_bytes());
}

fn attributes(out: &mut Vec<u8>, field: u32, attributes: &Attributes) {
    for (key, value) in &attributes.0 {
        message(out, field, |out| {
            bytes(out, 1, key.as_bytes());
            message(out, 2, |out| match value {
                Value::Str(text) => bytes(out, 1, text.as_bytes()),
                Value::Bool(truth) => varint_field(out, 2, u64::from(*truth)),
                Value::Int(number) => varint_field(out, 3, number.cast_unsigned()),
                Value::Double(number) => fixed64(out, 4, number.to_bits()),
            });
        });
    }
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    varint(out, u64::from(field) << 3 | u64::from(wire_type));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, LEN);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Writes what `body` writes, then puts its length before it: one buffer, no temporary ones.
fn message(out: &mut Vec<u8>, field: u32, body: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, LEN);
    let start = out.len();
    body(out);
    let mut length = Vec::with_capacity(5);
    varint(&mut length, (out.len() - start) as u64);
    out.splice(start..start, length);
}

// The peers of these tests do not build for the browser.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::borrow::Cow;

    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{KeyValue, any_value},
    };
    use proptest::prelude::*;
    use prost::Message;
    use throughline_context::{SpanId, TraceFlags, TraceId};

    use super::*;
    use crate::span::{EventData, Kind, SpanContext};

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,300}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ]
    }

    fn attribute_list() -> impl Strategy<Value = Attributes> {
        proptest::collection::vec((".{0,40}", value()), 0..12).prop_map(|pairs| {
            let mut attributes = Attributes::default();
            for (key, value) in pairs {
                attributes.set(key, value);
            }
            attributes
        })
    }

    prop_compose! {
        fn any_span()(
            trace in any::<[u8; 16]>().prop_filter_map("zero", TraceId::from_bytes),
            id in any::<[u8; 8]>().prop_filter_map("zero", SpanId::from_bytes),
            parent in any::<[u8; 8]>(),
            flags in 0_u8..4,
            name in ".{0,60}",
            client in any::<bool>(),
            start_ns in 0..i64::MAX,
            end_ns in 0..i64::MAX,
            attributes in attribute_list(),
            event_times in proptest::collection::vec(0..i64::MAX, 0..4),
            error in any::<bool>(),
        ) -> SpanData {
            SpanData {
                context: SpanContext { trace_id: trace, span_id: id, flags: TraceFlags::new(flags) },
                parent: SpanId::from_bytes(parent),
                name: Cow::Owned(name),
                kind: if client { Kind::Client } else { Kind::Internal },
                start_ns,
                end_ns,
                attributes,
                events: event_times.into_iter().map(|time_ns| EventData { time_ns, name: "loadEventEnd" }).collect(),
                error,
            }
        }
    }

    fn same_attributes(sent: &Attributes, received: &[KeyValue]) {
        assert_eq!(sent.0.len(), received.len());
        for ((key, value), got) in sent.0.iter().zip(received) {
            assert_eq!(key.as_ref(), got.key);
            let got = got.value.as_ref().and_then(|value| value.value.as_ref());
            match (value, got) {
                (Value::Str(a), Some(any_value::Value::StringValue(b))) => assert_eq!(a.as_ref(), b),
                (Value::Int(a), Some(any_value::Value::IntValue(b))) => assert_eq!(a, b),
                (Value::Double(a), Some(any_value::Value::DoubleValue(b))) => assert_eq!(a, b),
                (Value::Bool(a), Some(any_value::Value::BoolValue(b))) => assert_eq!(a, b),
                (sent, got) => panic!("{key}: sent {sent:?}, got {got:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn split_requests_hold_every_span_once_in_order_and_keep_the_limit(
            spans in proptest::collection::vec(any_span(), 0..20),
            limit_bytes in 100_usize..4000,
        ) {
            let (requests, too_large) = export_requests_within(&Origin::default(), &spans, limit_bytes);
            prop_assert!(requests.iter().all(|(_, request)| request.len() <= limit_bytes));
            for (range, request) in &requests {
                prop_assert_eq!(request, &export_request(&Origin::default(), spans[range.clone()].iter()));
            }
            let got: Vec<_> = requests
                .iter()
                .flat_map(|(_, request)| ExportTraceServiceRequest::decode(request.as_slice()).unwrap().resource_spans)
                .flat_map(|group| group.scope_spans.into_iter().next().unwrap().spans)
                .map(|span| span.span_id)
                .collect();
            prop_assert_eq!(got.len() + too_large, spans.len());
            let mut sent = spans.iter().map(|span| span.context.span_id.to_bytes().to_vec());
            prop_assert!(got.iter().all(|id| sent.any(|known| known == *id)));
        }

        #[test]
        fn what_is_encoded_decodes_to_what_was_meant(spans in proptest::collection::vec(any_span(), 0..5), resource in attribute_list()) {
            let origin = Origin { resource, scope_name: "app", scope_version: "1.2" };
            let bytes = export_request(&origin, spans.iter());
            let request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!(request.resource_spans.len(), 1);
            let group = &request.resource_spans[0];
            same_attributes(&origin.resource, &group.resource.as_ref().unwrap().attributes);
            let scope = &group.scope_spans[0];
            prop_assert_eq!(&scope.scope.as_ref().unwrap().name, "app");
            prop_assert_eq!(&scope.scope.as_ref().unwrap().version, "1.2");
            prop_assert_eq!(scope.spans.len(), spans.len());
            for (sent, got) in spans.iter().zip(&scope.spans) {
                prop_assert_eq!(&sent.context.trace_id.to_bytes()[..], &got.trace_id[..]);
                prop_assert_eq!(&sent.context.span_id.to_bytes()[..], &got.span_id[..]);
                prop_assert_eq!(sent.parent.map(|id| id.to_bytes().to_vec()).unwrap_or_default(), got.parent_span_id.clone());
                prop_assert_eq!(&sent.name, &got.name);
                prop_assert_eq!(sent.kind as i32, got.kind);
                prop_assert_eq!(sent.start_ns.cast_unsigned(), got.start_time_unix_nano);
                prop_assert_eq!(sent.end_ns.cast_unsigned(), got.end_time_unix_nano);
                prop_assert_eq!(got.flags, u32::from(sent.context.flags.bits()) | FLAGS_HAS_IS_REMOTE);
                prop_assert_eq!(got.status.as_ref().map_or(0, |status| status.code), if sent.error { 2 } else { 0 });
                same_attributes(&sent.attributes, &got.attributes);
                prop_assert_eq!(sent.events.len(), got.events.len());
                for (sent, got) in sent.events.iter().zip(&got.events) {
                    prop_assert_eq!(sent.time_ns.cast_unsigned(), got.time_unix_nano);
                    prop_assert_eq!(sent.name, &got.name);
                }
            }
        }
    }
}
