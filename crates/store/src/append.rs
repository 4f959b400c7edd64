//! Appends batches of spans to the tables, within the caller's transaction.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use foldhash::{HashMap, HashMapExt as _};
use rusqlite::{Connection, params};
use throughline_context::TraceId;
use throughline_otlp::Span;

use crate::{
    Appended, StoreError,
    block::Encoder,
    fold::{self, Fold, SpanTerms},
    known::{Known, Trace},
    terms::{self, Term, Terms},
};

/// The state that the writer keeps between transactions. It has to be [cleared](State::clear) after a failed one.
pub(crate) struct State {
    pub(crate) known: Known,
    pub(crate) terms: Terms,
    encoder: Encoder,
    /// The number of the newest trace.
    pub(crate) last_no: i64,
    /// The size of all blocks written so far, in bytes.
    pub(crate) written_bytes: usize,
    /// Texts older than this age have been deleted.
    pub(crate) swept_age: i64,
}

impl State {
    pub(crate) fn new(connection: &Connection) -> Result<Self, StoreError> {
        let last_no = connection.query_row("SELECT coalesce(max(no), 0) FROM traces", [], |row| row.get(0))?;
        Ok(Self {
            known: Known::default(),
            terms: Terms::new(),
            encoder: Encoder::new()?,
            last_no,
            written_bytes: 0,
            swept_age: -1,
        })
    }

    /// Clears the cached texts, some of which were deleted.
    pub(crate) fn forget_terms(&mut self) {
        self.terms.clear();
    }

    /// Clears everything that may not have been committed.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.terms.clear();
    }
}

/// The spans of one trace that are stored together.
struct Group<'a> {
    trace_id: TraceId,
    trace: Trace,
    spans: Vec<&'a Span>,
}

/// Spans grouped by trace, in the order in which the traces first occur.
#[derive(Default)]
struct Groups<'a> {
    groups: Vec<Group<'a>>,
    by_id: HashMap<TraceId, usize>,
}

impl<'a> Groups<'a> {
    fn of(
        &mut self,
        connection: &Connection,
        known: &mut Known,
        trace_id: TraceId,
    ) -> Result<&mut Group<'a>, StoreError> {
        let at = match self.by_id.get(&trace_id) {
            Some(at) => *at,
            None => {
                let trace = known.take(connection, trace_id)?;
                self.groups.push(Group { trace_id, trace, spans: Vec::new() });
                self.by_id.insert(trace_id, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        Ok(&mut self.groups[at])
    }
}

/// Stores batches, with the spans of a trace together, and returns the result of each batch. Adds the traces that got new spans
/// to `changed`.
pub(crate) fn append(
    connection: &Connection,
    state: &mut State,
    batches: &[&[Span]],
    changed: &mut BTreeSet<TraceId>,
) -> Result<Vec<Appended>, StoreError> {
    let mut groups = Groups::default();
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut appended = Appended::default();
        for span in *batch {
            let group = groups.of(connection, &mut state.known, span.trace_id)?;
            if group.trace.is_new(span.span_id) {
                group.spans.push(span);
                appended.stored += 1;
            } else {
                appended.duplicates += 1;
            }
        }
        results.push(appended);
    }
    let mut groups = groups.groups;
    let spans: Vec<&Span> = groups.iter().flat_map(|group| &group.spans).copied().collect();
    let numbers = save_traces(connection, state, &mut groups)?;
    if !spans.is_empty() {
        let seq: i64 = connection.prepare_cached("SELECT span_seq FROM totals")?.query_row([], |row| row.get(0))?;
        save_spans(connection, state, &spans, seq + 1, &numbers, unix_s())?;
        connection
            .prepare_cached("UPDATE totals SET spans = spans + ?1, span_seq = ?2")?
            .execute(params![spans.len(), seq + spans.len() as i64])?;
    }
    for group in groups {
        if !group.spans.is_empty() {
            changed.insert(group.trace_id);
        }
        state.known.put(group.trace_id, group.trace);
    }
    Ok(results)
}

/// Returns the current time in seconds since the Unix epoch.
pub(crate) fn unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the system clock is set to a time after 1970");
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Inserts or updates the rows of traces, and returns the number of each.
fn save_traces(
    connection: &Connection,
    state: &mut State,
    groups: &mut [Group<'_>],
) -> Result<HashMap<TraceId, i64>, StoreError> {
    let mut numbers = HashMap::with_capacity(groups.len());
    let mut new_traces = 0_i64;
    let mut services = Services::default();
    for group in groups {
        for span in &group.spans {
            let age = terms::age(state.last_no);
            let of = SpanTerms {
                name: state.terms.number(connection, &span.name, age)?,
                service: services.number(connection, &mut state.terms, span, age)?,
                user: match fold::user(span) {
                    Some(user) => Some(state.terms.number(connection, &user, age)?),
                    None => None,
                },
                route: match fold::route(span) {
                    Some(route) => Some(state.terms.number(connection, route, age)?),
                    None => None,
                },
            };
            match &mut group.trace.fold {
                Some(fold) => fold.add(span, of),
                fold => *fold = Some(Fold::of(span, of)),
            }
        }
        let Some(fold) = group.trace.fold.as_ref().filter(|_| !group.spans.is_empty()) else { continue };
        let no = match group.trace.no {
            Some(no) => {
                connection
                    .prepare_cached(
                        "UPDATE traces SET start_ns = ?2, duration_ns = ?3, span_count = ?4, error_count = ?5,
                             about = ?6 WHERE no = ?1",
                    )?
                    .execute(params![
                        no,
                        fold.start_ns,
                        fold.duration_ns(),
                        fold.span_count,
                        fold.error_count,
                        fold.to_bytes()
                    ])?;
                no
            }
            None => {
                new_traces += 1;
                connection
                    .prepare_cached(
                        "INSERT INTO traces (trace_id, start_ns, duration_ns, span_count, error_count, about)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .insert(params![
                        group.trace_id.to_bytes(),
                        fold.start_ns,
                        fold.duration_ns(),
                        fold.span_count,
                        fold.error_count,
                        fold.to_bytes()
                    ])?
            }
        };
        group.trace.no = Some(no);
        state.last_no = state.last_no.max(no);
        numbers.insert(group.trace_id, no);
    }
    if new_traces > 0 {
        connection.prepare_cached("UPDATE totals SET traces = traces + ?1")?.execute([new_traces])?;
    }
    Ok(numbers)
}

/// Writes the spans as blocks, and links each block to its traces.
fn save_spans(
    connection: &Connection,
    state: &mut State,
    spans: &[&Span],
    first_seq: i64,
    numbers: &HashMap<TraceId, i64>,
    stored_s: i64,
) -> Result<(), StoreError> {
    let mut insert_block = connection
        .prepare_cached("INSERT INTO blocks (last_seq, first_seq, stored_s, body) VALUES (?1, ?2, ?3, ?4)")?;
    let mut insert_part = connection
        .prepare_cached("INSERT INTO trace_blocks (trace_no, last_seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let (mut rest, mut seq) = (spans, first_seq);
    while !rest.is_empty() {
        let (count, body) = state.encoder.encode(rest)?;
        let last_seq = seq + count as i64 - 1;
        insert_block.execute(params![last_seq, seq, stored_s, body])?;
        state.written_bytes += body.len();
        for run in state.encoder.runs() {
            if let Some(no) = numbers.get(&run.trace_id) {
                insert_part.execute([*no, last_seq])?;
            }
        }
        (rest, seq) = (&rest[count..], last_seq + 1);
    }
    Ok(())
}

/// The services of the resources of one append, keyed by the address of the resource.
#[derive(Default)]
struct Services {
    by_address: HashMap<usize, Term>,
}

impl Services {
    fn number(&mut self, connection: &Connection, terms: &mut Terms, span: &Span, age: i64) -> rusqlite::Result<Term> {
        let address = Arc::as_ptr(&span.resource).addr();
        if let Some(service) = self.by_address.get(&address) {
            return Ok(*service);
        }
        let service = terms.number(connection, span.service_name(), age)?;
        self.by_address.insert(address, service);
        Ok(service)
    }
}
