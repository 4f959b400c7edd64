//! Records that could not be sent, in a form that outlives the page: a text, since that is what the browser's storage keeps.

use std::rc::Rc;

use crate::{
    delivery::{Batch, Record},
    protobuf,
    record::Signal,
};

/// At most so much is kept for the next page, characters; the oldest stay.
pub(crate) const MAX_STORED_CHARS: usize = 512 << 10;
const SESSION_LIMIT_BYTES: usize = 64;

/// Adds records to `text`; how many no longer fitted.
///
/// Each is its signal, its session and its bytes, with lengths; each byte is the character of that number, which browsers store
/// in one byte.
pub(crate) fn store(text: &mut String, batch: &Batch, skip: usize) -> usize {
    let mut lost = 0;
    let mut chars = text.chars().count();
    for record in batch.records.iter().skip(skip) {
        let mut bytes = vec![batch.signal as u8];
        protobuf::varint(&mut bytes, record.session.len() as u64);
        bytes.extend_from_slice(record.session.as_bytes());
        protobuf::varint(&mut bytes, record.body.len() as u64);
        bytes.extend_from_slice(&record.body);
        if chars + bytes.len() > MAX_STORED_CHARS {
            lost += 1;
        } else {
            chars += bytes.len();
            text.extend(bytes.into_iter().map(char::from));
        }
    }
    lost
}

/// The records in `text`, up to the first that is damaged: anything may have been written there.
pub(crate) fn restore(text: &str) -> Vec<(Signal, Record)> {
    let Some(bytes) = text.chars().map(|char| u8::try_from(char).ok()).collect::<Option<Vec<u8>>>() else {
        return Vec::new();
    };
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
    let signal = Signal::ALL.into_iter().find(|known| *known as u8 == *signal)?;
    let (session, rest) = read_framed(rest)?;
    let (body, rest) = read_framed(rest)?;
    let session = std::str::from_utf8(session).ok().filter(|session| session.len() <= SESSION_LIMIT_BYTES)?;
    Some(((signal, Record { session: Rc::from(session), body: body.to_vec() }), rest))
}

fn read_framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = protobuf::read_varint(bytes)?;
    rest.split_at_checked(length)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch() -> impl Strategy<Value = Batch> {
        let records = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9);
        (any::<bool>(), "[0-9a-f]{0,32}", records).prop_map(|(logs, session, bodies)| {
            let session: Rc<str> = Rc::from(session);
            let records = bodies.into_iter().map(|body| Record { session: Rc::clone(&session), body }).collect();
            Batch { signal: if logs { Signal::Logs } else { Signal::Traces }, session, records }
        })
    }

    proptest! {
        #[test]
        fn what_is_stored_is_restored(batches in prop::collection::vec(batch(), 0..4), skip in 0_usize..3) {
            let mut text = String::new();
            for batch in &batches {
                prop_assert_eq!(store(&mut text, batch, skip), 0);
            }
            let stored: Vec<_> = batches
                .iter()
                .flat_map(|batch| batch.records.iter().skip(skip).map(|record| (batch.signal, record.clone())))
                .collect();
            prop_assert_eq!(restore(&text), stored);
        }

        #[test]
        fn damage_costs_what_follows_and_nothing_before(batch in batch(), damage in "\\PC{1,9}") {
            let mut text = String::new();
            store(&mut text, &batch, 0);
            let whole = restore(&text);
            text.push('\u{1000}');
            prop_assert!(restore(&text).is_empty());
            text.pop();
            text.push_str(&damage);
            prop_assert!(restore(&text).is_empty() || restore(&text)[..whole.len()] == whole);
        }

        #[test]
        fn any_text_is_read(text in ".{0,200}") {
            restore(&text);
        }
    }

    #[test]
    fn it_is_bounded_and_says_what_is_lost() {
        let session: Rc<str> = Rc::from("s");
        let records = (0..10).map(|_| Record { session: Rc::clone(&session), body: vec![200; 100 << 10] }).collect();
        let batch = Batch { signal: Signal::Traces, session, records };
        let mut text = String::new();
        assert_eq!(store(&mut text, &batch, 0), 5);
        assert!(text.chars().count() <= MAX_STORED_CHARS);
        assert_eq!(restore(&text).len(), 5);
    }
}
