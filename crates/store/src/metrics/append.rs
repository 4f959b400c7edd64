//! Appends points to the tables, and drops old ones above the limits.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use throughline_otlp::{DataPoint, KeyValue, LogRecord, encode_record, encode_resource_scope};

use super::Bounds;
use crate::{Appended, StoreError, fold::column_ns};

/// The maximum number of points that are dropped at once.
const TRIM_STEP: usize = 1_000;

pub(super) fn append(connection: &Connection, points: &[DataPoint], bounds: Bounds) -> Result<Appended, StoreError> {
    let mut appended = Appended::default();
    let mut sources = Sources::default();
    let (mut new_series, mut bytes) = (0_usize, 0_usize);
    let mut last = connection.prepare_cached("SELECT time_ns, source_id, body FROM series WHERE key = ?1")?;
    let mut enqueue = connection.prepare_cached("INSERT INTO points (source_id, body) VALUES (?1, ?2)")?;
    let mut replace = connection.prepare_cached(
        "REPLACE INTO series (key, name, time_ns, updated, source_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for point in points {
        let source_id = sources.id(connection, point)?;
        let (key, body) = (key(point, source_id), encode_record(point));
        let before = last
            .query_row([key], |row| {
                let is_same = row.get::<_, i64>(1)? == source_id && row.get_ref(2)?.as_blob()? == body;
                Ok((row.get::<_, i64>(0)?, is_same))
            })
            .optional()?;
        if before.is_some_and(|(_, is_same)| is_same) {
            appended.duplicates += 1;
            continue;
        }
        let seq = enqueue.insert(params![source_id, body])?;
        appended.stored += 1;
        bytes += body.len();
        let time_ns = column_ns(point.time_ns);
        new_series += usize::from(before.is_none());
        if before.is_none_or(|(before_ns, _)| before_ns <= time_ns) {
            replace.execute(params![key, point.metric.name, time_ns, seq, source_id, body])?;
        }
    }
    connection
        .prepare_cached(
            "UPDATE totals SET received = received + ?1, queued = queued + ?1, queued_bytes = queued_bytes + ?2,
                 series = series + ?3",
        )?
        .execute(params![appended.stored, bytes, new_series])?;
    trim(connection, bounds)?;
    Ok(appended)
}

/// Returns a 128-bit hash of the identity of a point's series: its source, its metric, and its attributes in any order.
fn key(point: &DataPoint, source_id: i64) -> [u8; 16] {
    let mut attributes: Vec<KeyValue> = point.attributes.clone();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    // A log record serves as the container, because its encoding keeps the order of attributes.
    let attributes = LogRecord { attributes, ..LogRecord::new(Arc::default(), Arc::default()) };
    let metric = &point.metric;
    let shape = [metric.kind as u8, metric.temporality as u8, u8::from(metric.is_monotonic)];
    let hash = Sha256::new()
        .chain_update(source_id.to_be_bytes())
        .chain_update(metric.name.len().to_be_bytes())
        .chain_update(&metric.name)
        .chain_update(metric.unit.len().to_be_bytes())
        .chain_update(&metric.unit)
        .chain_update(shape)
        .chain_update(encode_record(&attributes))
        .finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// Deletes the oldest series and points that exceed the limits.
fn trim(connection: &Connection, bounds: Bounds) -> Result<(), StoreError> {
    let totals = |column: &str| {
        let select = format!("SELECT {column} FROM totals");
        connection.prepare_cached(&select)?.query_row([], |row| row.get::<_, usize>(0))
    };
    let too_many = totals("series")?.saturating_sub(bounds.series);
    let mut removed = too_many > 0;
    if too_many > 0 {
        connection
            .prepare_cached("DELETE FROM series WHERE key IN (SELECT key FROM series ORDER BY updated LIMIT ?1)")?
            .execute([too_many])?;
        connection.prepare_cached("UPDATE totals SET series = series - ?1")?.execute([too_many])?;
    }
    loop {
        let (queued, bytes) = (totals("queued")?, totals("queued_bytes")?);
        // The last point is always kept, even if it exceeds the limit.
        let too_many = queued.saturating_sub(bounds.points);
        let step = if bytes > bounds.bytes { too_many.max(1) } else { too_many }.min(TRIM_STEP).min(queued.max(1) - 1);
        if step == 0 {
            break;
        }
        drop_oldest(connection, step)?;
        removed = true;
    }
    if removed {
        connection
            .prepare_cached(
                "DELETE FROM sources WHERE id NOT IN (SELECT source_id FROM points)
                     AND id NOT IN (SELECT source_id FROM series)",
            )?
            .execute([])?;
    }
    Ok(())
}

fn drop_oldest(connection: &Connection, count: usize) -> Result<(), StoreError> {
    let (last, bytes): (i64, usize) = connection
        .prepare_cached("SELECT max(seq), sum(length(body)) FROM (SELECT seq, body FROM points ORDER BY seq LIMIT ?1)")?
        .query_row([count], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Without a sink, no point counts as lost.
    let lost: usize = connection
        .prepare_cached("SELECT count(*) FROM points WHERE seq <= ?1 AND seq > (SELECT min(cursor) FROM sinks)")?
        .query_row([last], |row| row.get(0))?;
    let removed = connection.prepare_cached("DELETE FROM points WHERE seq <= ?1")?.execute([last])?;
    connection
        .prepare_cached("UPDATE totals SET queued = queued - ?1, queued_bytes = queued_bytes - ?2, lost = lost + ?3")?
        .execute(params![removed, bytes, lost])?;
    Ok(())
}

/// The ids of the resources and scopes of one batch, most of which are shared by its points. They are keyed by address, which is
/// valid as long as the batch exists.
#[derive(Default)]
struct Sources {
    ids: HashMap<(usize, usize), i64>,
}

impl Sources {
    fn id(&mut self, connection: &Connection, point: &DataPoint) -> Result<i64, StoreError> {
        let address = (Arc::as_ptr(&point.resource).addr(), Arc::as_ptr(&point.scope).addr());
        if let Some(id) = self.ids.get(&address) {
            return Ok(*id);
        }
        let body = encode_resource_scope(&point.resource, &point.scope);
        let known = connection
            .prepare_cached("SELECT id FROM sources WHERE body = ?1")?
            .query_row([&body], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => connection.prepare_cached("INSERT INTO sources (body) VALUES (?1)")?.insert([&body])?,
        };
        self.ids.insert(address, id);
        Ok(id)
    }
}
