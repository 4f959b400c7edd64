use std::{collections::BTreeSet, path::Path};

use rusqlite::params;
use throughline_otlp::{
    KeyValue, LogRecord, Signal,
    context::{SpanId, TraceId},
    encode_record, encode_resource_scope,
};

use super::*;
use crate::{ListFilter, SinkName, SpanStore as _, Store, logs};

const APPLICATION_ID: i64 = 0x5448_4c4e;

fn trace_id(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16]).unwrap()
}

fn span(trace: u8, number: u64, service: &str) -> Span {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", service)], ..Resource::default() };
    let mut span =
        Span::new(trace_id(trace), SpanId::from_bytes(number.to_be_bytes()).unwrap(), resource.into(), Arc::default());
    span.name = format!("span {number}");
    span.start_ns = number * 1_000_000_000;
    span.end_ns = span.start_ns + 500;
    span
}

/// A file as that version left it: its own tables, written by its own statements.
fn old_file(dir: &Path, version: i64, spans: &[(i64, Span)], records: &[LogRecord]) {
    let file = dir.join("traces.db");
    schema::make_file(dir, &file).unwrap();
    let mut connection = Connection::open(file).unwrap();
    let connection = connection.transaction().unwrap();
    connection.execute_batch(schema::SPANS).unwrap();
    for (seq, span) in spans {
        let source = encode_resource_scope(&span.resource, &span.scope);
        connection.execute("INSERT INTO resources (body) VALUES (?1) ON CONFLICT DO NOTHING", [&source]).unwrap();
        connection
            .execute(
                "INSERT INTO spans (seq, trace_id, span_id, parent_span_id, name, service, kind, status, start_ns,
                     end_ns, resource_id, body)
                 SELECT ?1, ?2, ?3, NULL, ?4, ?5, 0, 0, ?6, ?7, id, ?8 FROM resources WHERE body = ?9",
                params![
                    seq,
                    span.trace_id.to_bytes(),
                    span.span_id.to_bytes(),
                    span.name,
                    span.service_name(),
                    span.start_ns,
                    span.end_ns,
                    encode_record(span),
                    source
                ],
            )
            .unwrap();
    }
    let traces = spans.iter().map(|(_, span)| span.trace_id).collect::<BTreeSet<_>>().len();
    connection.execute("UPDATE totals SET spans = ?1, traces = ?2", [spans.len(), traces]).unwrap();
    connection.execute("INSERT INTO sinks VALUES ('honeycomb', 2)", []).unwrap();
    if version > 1 {
        connection.execute_batch(schema::LOGS).unwrap();
        for record in records {
            let source = encode_resource_scope(&record.resource, &record.scope);
            connection.execute("INSERT INTO resources (body) VALUES (?1) ON CONFLICT DO NOTHING", [&source]).unwrap();
            let id: i64 =
                connection.query_row("SELECT id FROM resources WHERE body = ?1", [source], |row| row.get(0)).unwrap();
            connection
                .execute(
                    "INSERT INTO logs (key, trace_id, time_ns, resource_id, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        logs::key(record, id),
                        record.trace_id.map(TraceId::to_bytes),
                        record.time_ns,
                        id,
                        encode_record(record)
                    ],
                )
                .unwrap();
        }
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
    connection.commit().unwrap();
}

fn record(number: u64) -> LogRecord {
    let mut record = LogRecord::new(span(1, 1, "logger").resource, Arc::default());
    (record.trace_id, record.time_ns) = (Some(trace_id(1)), number);
    record
}

#[tokio::test]
async fn files_of_older_versions_keep_all_they_have_and_take_more() {
    for version in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        // More than one block, traces that are not together, and a gap.
        let spans: Vec<(i64, Span)> = (1..=5_000_u64)
            .map(|number| {
                let seq = if number > 3_000 { number + 7 } else { number };
                (seq as i64, span((number % 200) as u8 + 1, number, if number % 2 == 0 { "web" } else { "api" }))
            })
            .collect();
        let records = if version > 1 { vec![record(1), record(2)] } else { vec![] };
        old_file(dir.path(), version, &spans, &records);
        // The second time there is nothing to do.
        for round in 0..2 {
            let store = Store::open(dir.path()).unwrap();
            let (mut found, mut cursor) = (Vec::new(), 0);
            loop {
                let page = store.after(cursor, 1_000).await.unwrap();
                let Some((last, _)) = page.last() else { break };
                cursor = *last;
                found.extend(page.into_iter().map(|(place, span)| (place as i64, span)));
            }
            assert_eq!(&found[..spans.len()], &spans);
            let of_one: Vec<_> =
                spans.iter().filter(|(_, span)| span.trace_id == trace_id(7)).map(|(_, span)| span.clone()).collect();
            assert_eq!(store.trace(trace_id(7)).await.unwrap(), of_one);
            let summary = store.summary(trace_id(7)).await.unwrap().unwrap();
            assert_eq!((summary.root_name.as_str(), summary.span_count), ("span 6", 25));
            assert_eq!(summary.services, ["web"]);
            assert_eq!(store.list(ListFilter::default()).await.unwrap().len(), 50);
            assert_eq!(store.cursor(&SinkName::new("honeycomb").unwrap().cursor(Signal::Traces)).await.unwrap(), 2);
            assert_eq!(store.trace_logs(trace_id(1)).await.unwrap()[..records.len()], records);
            let counts = store.counts().await.unwrap();
            assert_eq!((counts.spans, counts.traces), (5_000 + round, 200));
            // What is known is known, what is new gets the next place.
            let appended = store.append(vec![spans[9].1.clone(), span(9, 9_000 + round, "web")]).await.unwrap();
            assert_eq!((appended.stored, appended.duplicates), (1, 1));
            assert_eq!(store.after(5_007 + round, 9).await.unwrap()[0].0, 5_008 + round);
            assert_eq!(store.append_logs(vec![record(2), record(3)]).await.unwrap().stored as u64, {
                if round == 1 { 0 } else { if version > 1 { 1 } else { 2 } }
            });
            store.close().await;
        }
    }
}

#[test]
fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    old_file(dir.path(), 2, &[(1, span(1, 1, "web"))], &[]);
    // The last statement of the step has no table to work on.
    let connection = Connection::open(dir.path().join("traces.db")).unwrap();
    connection.execute_batch("ALTER TABLE logs RENAME TO moved").unwrap();
    assert!(Store::open(dir.path()).is_err());
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let spans: i64 = connection.query_row("SELECT count(*) FROM spans", [], |row| row.get(0)).unwrap();
    assert_eq!((version, spans), (2, 1));
    connection.execute_batch("ALTER TABLE moved RENAME TO logs").unwrap();
    drop(connection);
    assert!(Store::open(dir.path()).is_ok(), "nothing of the step was left behind");
}

#[test]
fn a_span_that_cannot_be_read_stops_the_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    old_file(dir.path(), 2, &[(1, span(1, 1, "web"))], &[]);
    let connection = Connection::open(dir.path().join("traces.db")).unwrap();
    connection.execute("UPDATE spans SET body = x'ffff'", []).unwrap();
    drop(connection);
    let result = Store::open(dir.path());
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
}
