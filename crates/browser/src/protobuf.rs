//! The parts of the protobuf wire format that OTLP uses.
//!
//! Written by hand because a protobuf library would add tens of kilobytes to the page. No function is generic, because
//! each instance would add to the WASM.

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;
const FIXED32: u32 = 5;

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

pub(crate) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, LEN);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Begins a message that contains everything written until [`close`]; returns its mark.
pub(crate) fn open(out: &mut Vec<u8>, field: u32) -> usize {
    tag(out, field, LEN);
    out.push(0);
    out.len()
}

/// Ends the message that began at `mark`: writes its length into the byte reserved before it, and inserts further bytes
/// for a longer message.
pub(crate) fn close(out: &mut Vec<u8>, mark: usize) {
    let mut length = out.len() - mark;
    let mut at = mark - 1;
    while length >= 0x80 {
        if let Some(place) = out.get_mut(at) {
            *place = length as u8 | 0x80;
        }
        length >>= 7;
        at += 1;
        out.insert(at, 0);
    }
    if let Some(place) = out.get_mut(at) {
        *place = length as u8;
    }
}

/// Returns the size of a message of this length including a tag of one byte and the length.
pub(crate) const fn framed_len(length: usize) -> usize {
    let mut rest = length;
    let mut framed = length + 2;
    while rest >= 0x80 {
        rest >>= 7;
        framed += 1;
    }
    framed
}

/// Reads a varint from the start of `bytes` and returns it with the rest; `None` if it is truncated or longer than 4
/// bytes.
pub(crate) fn read_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    let mut rest = bytes;
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        value |= usize::from(byte & 0x7f) << shift;
        rest = after;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_are_encoded_as_by_prost(value: u64) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            varint(&mut ours, value);
            prost::encoding::encode_varint(value, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn written_varints_are_read_back(value in 0_usize..1 << 28, rest in prop::collection::vec(any::<u8>(), 0..4)) {
            let mut bytes = Vec::new();
            varint(&mut bytes, value as u64);
            bytes.extend(&rest);
            prop_assert_eq!(read_varint(&bytes), Some((value, rest.as_slice())));
        }

        #[test]
        fn any_bytes_are_read_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            if let Some((_, rest)) = read_varint(&bytes) {
                prop_assert!(rest.len() < bytes.len());
            }
        }

        #[test]
        fn a_message_is_encoded_as_length_and_bytes(body in prop::collection::vec(any::<u8>(), 0..40_000)) {
            let mut at_once = vec![1, 2, 3];
            bytes(&mut at_once, 2, &body);
            let mut in_parts = vec![1, 2, 3];
            let mark = open(&mut in_parts, 2);
            for part in body.chunks(1000) {
                in_parts.extend_from_slice(part);
            }
            close(&mut in_parts, mark);
            prop_assert_eq!(&at_once, &in_parts);
            prop_assert_eq!(framed_len(body.len()), at_once.len() - 3);
        }
    }
}
