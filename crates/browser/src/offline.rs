//! Storage of unsent records for the next page, as a string, because the browser's storage holds strings.

use crate::{
    delivery::{Batch, Record},
    protobuf,
    record::Signal,
    session::SessionId,
};

/// The maximum size of the records kept for the next page, bytes of UTF-8; older records are kept. A byte of a record
/// takes one byte or, from 0x80, two.
pub(crate) const MAX_STORED_BYTES: usize = 512 << 10;

/// Appends records to `text` and returns the number of records that did not fit.
///
/// A record is written as signal, session, length and bytes. Each byte is the character with its code, which browsers
/// store in one byte.
pub(crate) fn store(text: &mut String, batch: &Batch) -> usize {
    let mut lost = 0;
    for record in &batch.records {
        let before = text.len();
        let mut head = vec![batch.signal as u8];
        head.extend_from_slice(&record.session.to_bytes());
        protobuf::varint(&mut head, record.body.len() as u64);
        for byte in head.iter().chain(&record.body) {
            text.push(char::from(*byte));
        }
        if text.len() > MAX_STORED_BYTES {
            text.truncate(before);
            lost += 1;
        }
    }
    lost
}

/// Reads the records in `text`, up to the first that is damaged: other code can write to the same storage.
pub(crate) fn restore(text: &str) -> Vec<(Signal, Record)> {
    // A character above 0xff is damage.
    let bytes: Vec<u8> = text.chars().map_while(|char| u8::try_from(u32::from(char)).ok()).collect();
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while let Some((record, after)) = read(rest) {
        records.push(record);
        rest = after;
    }
    records
}

fn read(bytes: &[u8]) -> Option<((Signal, Record), &[u8])> {
    let (signal, rest) = bytes.split_first()?;
    let signal = match signal {
        0 => Signal::Traces,
        1 => Signal::Logs,
        _ => return None,
    };
    let (session, rest) = rest.split_first_chunk::<16>()?;
    let (length, rest) = protobuf::read_varint(rest)?;
    let (body, rest) = rest.split_at_checked(length)?;
    Some(((signal, Record { session: SessionId::from_bytes(*session)?, body: body.to_vec() }), rest))
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch() -> impl Strategy<Value = Batch> {
        let bodies = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9);
        let session = any::<[u8; 16]>().prop_filter_map("zero", SessionId::from_bytes);
        (any::<bool>(), session, bodies).prop_map(|(logs, session, bodies)| {
            let records = bodies.into_iter().map(|body| Record { session, body }).collect();
            Batch::new(if logs { Signal::Logs } else { Signal::Traces }, session, records)
        })
    }

    proptest! {
        #[test]
        fn stored_records_are_restored(batches in prop::collection::vec(batch(), 0..4)) {
            let mut text = String::new();
            for batch in &batches {
                prop_assert_eq!(store(&mut text, batch), 0);
            }
            let stored: Vec<_> = batches
                .iter()
                .flat_map(|batch| batch.records.iter().map(|record| (batch.signal, record.clone())))
                .collect();
            prop_assert_eq!(restore(&text), stored);
        }

        #[test]
        fn records_before_damage_are_restored(batch in batch(), damage in "\\PC{1,9}") {
            let mut text = String::new();
            store(&mut text, &batch);
            let whole = restore(&text);
            text.push_str(&damage);
            let left = restore(&text);
            prop_assert!(left.len() >= whole.len() && left[..whole.len()] == whole);
        }

        #[test]
        fn any_text_can_be_read(text in ".{0,200}") {
            restore(&text);
        }
    }

    #[test]
    fn storage_is_bounded_and_lost_records_are_counted() {
        let session = SessionId::from_bytes([1; 16]).unwrap();
        let records = (0..10).map(|_| Record { session, body: vec![100; 100 << 10] }).collect();
        let batch = Batch::new(Signal::Traces, session, records);
        let mut text = String::new();
        assert_eq!(store(&mut text, &batch), 5);
        assert!(text.len() <= MAX_STORED_BYTES);
        assert_eq!(restore(&text).len(), 5);
    }
}
