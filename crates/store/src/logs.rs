//! Appends batches of log records to the tables, and detects duplicates.

use std::{borrow::Cow, collections::BTreeSet};

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use throughline_context::{TraceId, keys};
use throughline_otlp::{LogRecord, Value, encode_record};

use crate::{Appended, append::unix_s, fold::column_ns, resources::Resources};

/// The attributes that the receiver for pages adds, which differ when a record is sent again.
const OF_RECEPTION: [&str; 2] = ["client.address", keys::RECEIVED_NS];

/// Stores a batch of log records, and adds their traces to `changed`.
pub(crate) fn append_logs(
    connection: &Connection,
    records: &[LogRecord],
    changed: &mut BTreeSet<TraceId>,
) -> rusqlite::Result<Appended> {
    let mut appended = Appended::default();
    let mut resources = Resources::default();
    let stored_s = unix_s();
    let mut insert = connection.prepare_cached(
        "INSERT INTO logs (key, trace_id, time_ns, resource_id, body, stored_s, is_error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (key) DO NOTHING",
    )?;
    for record in records {
        let resource_id = resources.id(connection, record)?;
        let inserted = insert.execute(params![
            key(record, resource_id),
            record.trace_id.map(TraceId::to_bytes),
            column_ns(record.at_ns()),
            resource_id,
            encode_record(record),
            stored_s,
            record.severity.is_error(),
        ])?;
        if inserted == 0 {
            appended.duplicates += 1;
            continue;
        }
        appended.stored += 1;
        changed.extend(record.trace_id);
    }
    connection.prepare_cached("UPDATE totals SET logs = logs + ?1")?.execute([appended.stored])?;
    Ok(appended)
}

/// Returns a 128-bit hash of a record as it was sent: a log record has no id, and a retry sends exactly the same content. The
/// hash is cryptographic, so that no sender can craft a record that suppresses another one as its duplicate.
pub(crate) fn key(record: &LogRecord, resource_id: i64) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update(resource_id.to_be_bytes())
        .chain_update(encode_record(as_sent(record).as_ref()))
        .finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// Returns the record without the attributes that the receiver for pages added. A record from the OTLP receiver may
/// have its own `client.address`, which is part of its content.
fn as_sent(record: &LogRecord) -> Cow<'_, LogRecord> {
    if record.attribute(keys::CLIENT_REPORTED) != Some(&Value::Bool(true)) {
        return Cow::Borrowed(record);
    }
    let mut record = record.clone();
    record.attributes.retain(|attribute| !OF_RECEPTION.contains(&attribute.key.as_str()));
    Cow::Owned(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_context::SpanId;
    use throughline_otlp::{KeyValue, Severity};

    fn record() -> LogRecord {
        LogRecord {
            time_ns: 5,
            event_name: "exception".to_owned(),
            attributes: vec![KeyValue::new(keys::CLIENT_REPORTED, true), KeyValue::new(keys::RECEIVED_NS, 7)],
            ..LogRecord::new(Default::default(), Default::default())
        }
    }

    #[test]
    fn records_that_differ_in_any_field_are_distinct() {
        let changes: [fn(&mut LogRecord); 12] = [
            |_| {},
            |record| record.time_ns = 6,
            |record| record.observed_time_ns = 6,
            |record| record.severity = Severity::ERROR,
            |record| record.severity_text = "bad".to_owned(),
            |record| record.event_name = "other".to_owned(),
            |record| record.body = Value::from("text"),
            |record| record.attributes.push(KeyValue::new("k", 1)),
            |record| record.flags = 1,
            |record| record.dropped_attributes_count = 1,
            |record| record.trace_id = TraceId::from_bytes([1; 16]),
            |record| record.span_id = SpanId::from_bytes([1; 8]),
        ];
        let keys: BTreeSet<_> = changes
            .iter()
            .map(|change| {
                let mut record = record();
                change(&mut record);
                key(&record, 1)
            })
            .collect();
        assert_eq!(keys.len(), changes.len());
        assert!(!keys.contains(&key(&record(), 2)), "the key depends on the resource");
    }

    #[test]
    fn attributes_added_by_the_receiver_are_ignored() {
        let mut again = record();
        again.attributes[1] = KeyValue::new(keys::RECEIVED_NS, 8);
        again.attributes.push(KeyValue::new("client.address", "192.0.2.1"));
        assert_eq!(key(&again, 1), key(&record(), 1));
    }

    #[test]
    fn the_client_address_of_a_record_from_a_server_counts() {
        let of = |address: &str| {
            let mut record = record();
            record.attributes = vec![KeyValue::new("client.address", address)];
            key(&record, 1)
        };
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
