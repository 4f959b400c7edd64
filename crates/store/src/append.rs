//! Putting a batch of spans into the tables, inside of a transaction that is somebody else's.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use rusqlite::{Connection, OptionalExtension, params};
use throughline_otlp::{
    Span,
    context::{SpanId, TraceId},
    encode_record,
};

use crate::{
    Appended,
    fold::{self, Fold, column_ns, cut},
    read,
    resources::Resources,
};

/// What a batch adds to one trace.
struct Addition {
    fold: Fold,
    /// Each service, and when its first span in the batch began.
    services: BTreeMap<String, i64>,
    /// Names, services and users in lower case.
    terms: BTreeSet<String>,
}

/// Stores a batch, and notes which traces it changes.
pub(crate) fn append(
    connection: &Connection,
    spans: &[Span],
    changed: &mut BTreeSet<TraceId>,
) -> rusqlite::Result<Appended> {
    let mut appended = Appended::default();
    let mut additions: BTreeMap<TraceId, Addition> = BTreeMap::new();
    let mut resources = Resources::default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO spans (trace_id, span_id, parent_span_id, name, service, kind, status,
             start_ns, end_ns, resource_id, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (trace_id, span_id) DO NOTHING",
    )?;
    for span in spans {
        let resource_id = resources.id(connection, span)?;
        let inserted = insert.execute(params![
            span.trace_id.to_bytes(),
            span.span_id.to_bytes(),
            span.parent_span_id.map(SpanId::to_bytes),
            span.name,
            span.service_name(),
            span.kind.number(),
            span.status.code.number(),
            column_ns(span.start_ns),
            column_ns(span.end_ns),
            resource_id,
            encode_record(span),
        ])?;
        if inserted == 0 {
            appended.duplicates += 1;
            continue;
        }
        appended.stored += 1;
        match additions.entry(span.trace_id) {
            Entry::Vacant(entry) => {
                entry.insert(Addition::of(span));
            }
            Entry::Occupied(mut entry) => entry.get_mut().add(span),
        }
    }
    let mut new_traces = 0_i64;
    for (trace_id, addition) in additions {
        if save(connection, trace_id, addition)? {
            new_traces += 1;
        }
        changed.insert(trace_id);
    }
    connection
        .prepare_cached("UPDATE totals SET spans = spans + ?1, traces = traces + ?2")?
        .execute(params![appended.stored, new_traces])?;
    Ok(appended)
}

impl Addition {
    fn of(span: &Span) -> Self {
        let mut addition = Self { fold: Fold::of(span), services: BTreeMap::new(), terms: BTreeSet::new() };
        addition.note(span);
        addition
    }

    fn add(&mut self, span: &Span) {
        self.fold.absorb(Fold::of(span));
        self.note(span);
    }

    fn note(&mut self, span: &Span) {
        let start_ns = column_ns(span.start_ns);
        let service = cut(span.service_name());
        self.terms.insert(service.to_lowercase());
        self.terms.insert(cut(&span.name).to_lowercase());
        self.terms.extend(fold::user(span).map(|user| user.to_lowercase()));
        let first_ns = self.services.entry(service).or_insert(start_ns);
        *first_ns = start_ns.min(*first_ns);
    }
}

/// Adds to a trace's rows; whether it is a new trace.
fn save(connection: &Connection, trace_id: TraceId, addition: Addition) -> rusqlite::Result<bool> {
    let mut fold = addition.fold;
    let before = read::fold(connection, trace_id)?;
    let is_new = before.is_none();
    if let Some(before) = before {
        fold.absorb(before);
    }
    let id = trace_id.to_bytes();
    let user = fold.user.as_ref();
    let bands = fold.bands;
    connection
        .prepare_cached(
            "REPLACE INTO traces (trace_id, start_ns, end_ns, duration_ns, head_is_root, head_start_ns,
                 head_end_ns, head_span_id, head_name, head_service, span_count, error_count,
                 user_start_ns, user_span_id, user_name,
                 network_ms, uplink_ms, downlink_ms, error_ms, server_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18, ?19, ?20)",
        )?
        .execute(params![
            id,
            fold.start_ns,
            fold.end_ns,
            fold.duration_ns(),
            fold.head.is_root,
            fold.head.start_ns,
            fold.head.end_ns,
            fold.head.span_id.to_bytes(),
            fold.head.name,
            fold.head.service,
            fold.span_count,
            fold.error_count,
            user.map(|user| user.start_ns),
            user.map(|user| user.span_id.to_bytes()),
            user.map(|user| user.name.as_str()),
            bands.map(|bands| bands.network_ms),
            bands.map(|bands| bands.uplink_ms),
            bands.map(|bands| bands.downlink_ms),
            bands.map(|bands| bands.error_ms),
            bands.map(|bands| bands.server_ms),
        ])?;
    let mut service_row = connection.prepare_cached(
        "INSERT INTO trace_services (trace_id, service, first_ns) VALUES (?1, ?2, ?3)
         ON CONFLICT (trace_id, service) DO UPDATE SET first_ns = min(first_ns, excluded.first_ns)",
    )?;
    for (service, first_ns) in &addition.services {
        service_row.execute(params![id, service, first_ns])?;
    }
    let mut term_row = connection
        .prepare_cached("INSERT INTO trace_terms (trace_id, term_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for term in &addition.terms {
        term_row.execute(params![id, term_id(connection, term)?])?;
    }
    Ok(is_new)
}

fn term_id(connection: &Connection, term: &str) -> rusqlite::Result<i64> {
    let known = connection
        .prepare_cached("SELECT id FROM terms WHERE text = ?1")?
        .query_row([term], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => connection.prepare_cached("INSERT INTO terms (text) VALUES (?1)")?.insert([term]),
    }
}
