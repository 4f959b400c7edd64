//! Encodes spans as OTLP protobuf directly, without a tree of messages in between.
//!
//! The bytes are the same as those of `opentelemetry-proto` and `prost`: fields in the order of their numbers, empty
//! ones omitted. Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto` and `common/v1/common.proto`.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{
    Array, InstrumentationScope, Key, KeyValue, Value,
    trace::{Event, Link, SpanId, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// `SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`: it is known whether the parent is remote.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: the parent is remote.
const IS_REMOTE: u32 = 0x200;
const STATUS_OK: u64 = 1;
const STATUS_ERROR: u64 = 2;

/// Writes a `Span`, without the tag and length that it has inside another message.
pub(crate) fn span(out: &mut Vec<u8>, span: &SpanData) {
    bytes(out, 1, &span.span_context.trace_id().to_bytes());
    bytes(out, 2, &span.span_context.span_id().to_bytes());
    trace_state(out, 3, span.span_context.trace_state());
    if span.parent_span_id != SpanId::INVALID {
        bytes(out, 4, &span.parent_span_id.to_bytes());
    }
    text(out, 5, &span.name);
    varint(out, 6, kind(&span.span_kind));
    fixed64(out, 7, unix_nanos(span.start_time));
    fixed64(out, 8, unix_nanos(span.end_time));
    attributes(out, 9, &span.attributes);
    varint(out, 10, span.dropped_attributes_count.into());
    for recorded in span.events.iter() {
        message(out, 11, |out| event(out, recorded));
    }
    varint(out, 12, span.events.dropped_count.into());
    for linked in span.links.iter() {
        message(out, 13, |out| link(out, linked));
    }
    varint(out, 14, span.links.dropped_count.into());
    message(out, 15, |out| status(out, &span.status));
    flags(out, 16, span.parent_span_is_remote, span.span_context.trace_flags().to_u8());
}

/// Writes a `Resource`.
pub(crate) fn resource(out: &mut Vec<u8>, resource: &Resource) {
    for (name, value) in resource {
        attribute(out, 1, name, value);
    }
}

/// Writes an `InstrumentationScope`.
pub(crate) fn scope(out: &mut Vec<u8>, scope: &InstrumentationScope) {
    text(out, 1, scope.name());
    // In proto3, an empty string is the same as an absent one.
    text(out, 2, scope.version().unwrap_or(""));
    for KeyValue { key, value, .. } in scope.attributes() {
        attribute(out, 3, key, value);
    }
}

/// Returns the size of a length-delimited field with a one-byte tag and a value of `length` bytes.
pub(crate) fn framed_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Writes the tag and the length of a field whose `length` bytes are written next.
pub(crate) fn head(out: &mut Vec<u8>, field: u32, length: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// Writes a string field, omitted if it is empty.
pub(crate) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn event(out: &mut Vec<u8>, event: &Event) {
    fixed64(out, 1, unix_nanos(event.timestamp));
    text(out, 2, &event.name);
    attributes(out, 3, &event.attributes);
    varint(out, 4, event.dropped_attributes_count.into());
}

fn link(out: &mut Vec<u8>, link: &Link) {
    bytes(out, 1, &link.span_context.trace_id().to_bytes());
    bytes(out, 2, &link.span_context.span_id().to_bytes());
    trace_state(out, 3, link.span_context.trace_state());
    attributes(out, 4, &link.attributes);
    varint(out, 5, link.dropped_attributes_count.into());
    flags(out, 6, link.span_context.is_remote(), link.span_context.trace_flags().to_u8());
}

fn status(out: &mut Vec<u8>, status: &Status) {
    match status {
        Status::Unset => {}
        Status::Ok => varint(out, 3, STATUS_OK),
        Status::Error { description } => {
            text(out, 2, description);
            varint(out, 3, STATUS_ERROR);
        }
    }
}

fn flags(out: &mut Vec<u8>, field: u32, is_remote: bool, trace_flags: u8) {
    encode_key(field, WireType::ThirtyTwoBit, out);
    let flags = u32::from(trace_flags) | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 };
    out.extend_from_slice(&flags.to_le_bytes());
}

fn trace_state(out: &mut Vec<u8>, field: u32, state: &TraceState) {
    // Most spans have none, and `header` allocates.
    if *state != TraceState::NONE {
        text(out, field, &state.header());
    }
}

fn attributes(out: &mut Vec<u8>, field: u32, attributes: &[KeyValue]) {
    for KeyValue { key, value, .. } in attributes {
        attribute(out, field, key, value);
    }
}

/// Writes a `KeyValue`.
fn attribute(out: &mut Vec<u8>, field: u32, key: &Key, value: &Value) {
    let (key, value_len) = (key.as_str(), any_value_len(value));
    if let (Ok(field_byte @ ..=0x7f), 1.., ..=63, ..=59) =
        (u8::try_from(field << 3 | 2), key.len(), key.len(), value_len)
    {
        // The fast path for nearly all attributes: each tag and each length is one byte, which saves half of the time.
        let (key_len, value_len) = (key.len() as u8, value_len as u8);
        out.extend_from_slice(&[field_byte, key_len + value_len + 4, 0x0a, key_len]);
        out.extend_from_slice(key.as_bytes());
        if let Value::String(text) = value {
            out.extend_from_slice(&[0x12, value_len, 0x0a, value_len - 2]);
            out.extend_from_slice(text.as_str().as_bytes());
        } else {
            out.extend_from_slice(&[0x12, value_len]);
            any_value(out, value);
        }
        return;
    }
    let key_len = if key.is_empty() { 0 } else { framed_len(key.len()) };
    head(out, field, key_len + framed_len(value_len));
    text(out, 1, key);
    head(out, 2, value_len);
    any_value(out, value);
}

/// An `AnyValue` without nested values.
enum Single<'a> {
    Bool(bool),
    I64(i64),
    F64(f64),
    Text(&'a str),
}

impl Single<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bool(_) => 2,
            Self::I64(number) => 1 + encoded_len_varint(number.cast_unsigned()),
            Self::F64(_) => 9,
            Self::Text(text) => framed_len(text.len()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        // A field of a `oneof` is written even if it is empty.
        match self {
            Self::Text(text) => bytes(out, 1, text.as_bytes()),
            Self::Bool(is) => {
                encode_key(2, WireType::Varint, out);
                out.push(u8::from(*is));
            }
            Self::I64(number) => {
                encode_key(3, WireType::Varint, out);
                encode_varint(number.cast_unsigned(), out);
            }
            Self::F64(number) => {
                encode_key(4, WireType::SixtyFourBit, out);
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

fn any_value_len(value: &Value) -> usize {
    match value {
        Value::Bool(is) => Single::Bool(*is).len(),
        Value::I64(number) => Single::I64(*number).len(),
        Value::F64(number) => Single::F64(*number).len(),
        Value::String(text) => Single::Text(text.as_str()).len(),
        Value::Array(array) => framed_len(array_len(array)),
        other => Single::Text(&other.as_str()).len(),
    }
}

/// Writes an `AnyValue`.
fn any_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(is) => Single::Bool(*is).write(out),
        Value::I64(number) => Single::I64(*number).write(out),
        Value::F64(number) => Single::F64(*number).write(out),
        Value::String(text) => Single::Text(text.as_str()).write(out),
        Value::Array(array) => {
            head(out, 5, array_len(array));
            each(array, |single| {
                head(out, 1, single.len());
                single.write(out);
            });
        }
        // The SDK has no other variants yet.
        other => Single::Text(&other.as_str()).write(out),
    }
}

fn array_len(array: &Array) -> usize {
    let mut length = 0;
    each(array, |single| length += framed_len(single.len()));
    length
}

fn each(array: &Array, mut write: impl FnMut(Single<'_>)) {
    match array {
        Array::Bool(all) => all.iter().for_each(|is| write(Single::Bool(*is))),
        Array::I64(all) => all.iter().for_each(|number| write(Single::I64(*number))),
        Array::F64(all) => all.iter().for_each(|number| write(Single::F64(*number))),
        Array::String(all) => all.iter().for_each(|text| write(Single::Text(text.as_str()))),
        // The SDK has no other variants yet.
        other => write(Single::Text(&other.to_string())),
    }
}

fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    head(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(value, out);
    }
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        encode_key(field, WireType::SixtyFourBit, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Writes a message whose length is only known afterwards.
fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    let begin = out.len();
    write(out);
    let end = out.len();
    encode_varint((end - begin) as u64, out);
    // Moves the length, which was written after the message, in front of it.
    let length_len = out.len() - end;
    if let Some(written) = out.get_mut(begin..) {
        written.rotate_right(length_len);
    }
}

/// Returns nanoseconds since 1970, or 0 for earlier times.
fn unix_nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
