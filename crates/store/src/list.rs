//! The list of traces: filters, order, and pages.

use foldhash::HashSet;
use rusqlite::{Connection, params_from_iter, types::Value};
use throughline_context::TraceId;

use crate::{
    StoreError, Summary,
    fold::{Fold, column_ns},
    read::{FOLD_COLUMNS, fold, fold_of, trace_id},
    search,
    terms::{self, Term},
};

/// The maximum number of traces in one list.
pub const MAX_LIST: u32 = 1000;

/// A filter that selects which traces are listed, and how many. The default is the latest 50 traces.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListFilter {
    /// The maximum number of traces to list, clamped to 1 to [`MAX_LIST`].
    pub limit: u32,
    /// Lists only traces with this text, ignoring case, in a span's name, service or user, or at the beginning of the trace
    /// id. Surrounding whitespace is ignored; an empty text does not filter. Only the first 512 characters of a name, service
    /// or user are searched.
    pub text: Option<String>,
    /// Lists only traces with (`true`) or without (`false`) a failed span.
    pub error: Option<bool>,
    /// Lists only traces of at least this duration, in milliseconds.
    pub min_ms: Option<f64>,
    /// Lists only traces after this position in the order of the list.
    pub before: Option<Before>,
}

impl ListFilter {
    /// Sets [`limit`](Self::limit).
    #[must_use]
    pub fn with_limit(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Sets [`text`](Self::text).
    #[must_use]
    pub fn with_text(self, text: impl Into<Option<String>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// Sets [`error`](Self::error).
    #[must_use]
    pub fn with_error(self, error: impl Into<Option<bool>>) -> Self {
        Self { error: error.into(), ..self }
    }

    /// Sets [`min_ms`](Self::min_ms).
    #[must_use]
    pub fn with_min_ms(self, min_ms: impl Into<Option<f64>>) -> Self {
        Self { min_ms: min_ms.into(), ..self }
    }

    /// Sets [`before`](Self::before).
    #[must_use]
    pub fn with_before(self, before: impl Into<Option<Before>>) -> Self {
        Self { before: before.into(), ..self }
    }
}

impl Default for ListFilter {
    fn default() -> Self {
        Self { limit: 50, text: None, error: None, min_ms: None, before: None }
    }
}

/// A position in the list: the last trace of a page, after which the next page starts. Traces with equal start are ordered by
/// id, so that none is skipped or shown twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// The [`Summary::start_ns`] of that trace.
    pub start_ns: u64,
    /// Its id.
    pub trace_id: TraceId,
}

pub(crate) fn list(connection: &Connection, filter: &ListFilter) -> Result<Vec<Summary>, StoreError> {
    let text = filter.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let text = text.map(|text| Text::new(connection, text)).transpose()?;
    let limit = filter.limit.clamp(1, MAX_LIST) as usize;
    // If no name, service or user contains the text, it can only be the beginning of an id.
    let ids = match &text {
        Some(text) if text.terms.is_empty() => match text.ids {
            Some(ids) => Some(ids),
            None => return Ok(Vec::new()),
        },
        _ => None,
    };
    let (select, values) = statement(filter, ids);
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params_from_iter(values))?;
    let mut summaries = Vec::new();
    while summaries.len() < limit
        && let Some(row) = rows.next()?
    {
        let (trace_id, fold) = (trace_id(row, 0)?, fold_of(row)?);
        if text.as_ref().is_none_or(|text| text.is_of(trace_id, &fold)) {
            summaries.push(summary_of(trace_id, &fold, |term| terms::text(connection, term))?);
        }
    }
    Ok(summaries)
}

pub(crate) fn summary(connection: &Connection, trace_id: TraceId) -> Result<Option<Summary>, StoreError> {
    match fold(connection, trace_id)? {
        Some((_, fold)) => Ok(Some(summary_of(trace_id, &fold, |term| terms::text(connection, term))?)),
        None => Ok(None),
    }
}

/// Builds the query. `ids` is the range of trace ids to search, if the text can only be the beginning of an id.
fn statement(filter: &ListFilter, ids: Option<Ids>) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let mut select = match ids {
        Some((least, greatest)) => {
            values.extend([least, greatest].map(|id| Value::Blob(id.to_vec())));
            format!("SELECT {FOLD_COLUMNS} FROM traces WHERE trace_id BETWEEN ? AND ?")
        }
        // The index is named because it has the order of the list: a page is read without sorting all matches.
        None => format!("SELECT {FOLD_COLUMNS} FROM traces INDEXED BY traces_by_start WHERE true"),
    };
    if let Some(before) = filter.before {
        select.push_str(" AND (start_ns, trace_id) < (?, ?)");
        values.push(Value::Integer(column_ns(before.start_ns)));
        values.push(Value::Blob(before.trace_id.to_bytes().to_vec()));
    }
    if let Some(error) = filter.error {
        select.push_str(if error { " AND error_count > 0" } else { " AND error_count = 0" });
    }
    if let Some(min_ms) = filter.min_ms {
        // The conversion saturates, and NaN becomes 0.
        select.push_str(" AND duration_ns >= ?");
        values.push(Value::Integer((min_ms * 1e6).ceil() as i64));
    }
    select.push_str(" ORDER BY start_ns DESC, trace_id DESC");
    (select, values)
}

/// A text to search for: the terms of the dictionary that contain it, and the ids that start with it.
struct Text {
    terms: HashSet<Term>,
    ids: Option<Ids>,
}

/// The least and the greatest trace id of a range.
type Ids = ([u8; 16], [u8; 16]);

impl Text {
    fn new(connection: &Connection, text: &str) -> Result<Self, StoreError> {
        Ok(Self { terms: search::containing(connection, text)?, ids: id_range(text) })
    }

    fn is_of(&self, trace_id: TraceId, fold: &Fold) -> bool {
        let id = trace_id.to_bytes();
        self.ids.is_some_and(|(least, greatest)| least <= id && id <= greatest)
            || fold.terms.iter().any(|term| self.terms.contains(term))
    }
}

/// Returns the least and the greatest id that start with these hexadecimal digits.
fn id_range(digits: &str) -> Option<Ids> {
    if digits.len() > 32 {
        return None;
    }
    let (mut least, mut greatest) = ([0; 16], [0xff; 16]);
    for (place, digit) in digits.chars().enumerate() {
        let digit = u8::try_from(digit.to_digit(16)?).ok()?;
        let (shift, byte) = (if place % 2 == 0 { 4 } else { 0 }, place / 2);
        least[byte] |= digit << shift;
        greatest[byte] &= !((0xf ^ digit) << shift);
    }
    Some((least, greatest))
}

/// Builds the list entry of a trace; `text` looks up the text of a term.
pub(crate) fn summary_of(
    trace_id: TraceId,
    fold: &Fold,
    text: impl Fn(Term) -> rusqlite::Result<String>,
) -> Result<Summary, StoreError> {
    let unsigned = |ns| u64::try_from(ns).map_err(|_| StoreError::Corrupt("a trace has a negative time".to_owned()));
    Ok(Summary {
        trace_id,
        start_ns: unsigned(fold.start_ns)?,
        duration_ns: unsigned(fold.duration_ns())?,
        root_name: text(fold.head.name)?,
        root_service: text(fold.head.service)?,
        has_root: fold.head.is_root,
        span_count: fold.span_count,
        error_count: fold.error_count,
        services: fold.services.iter().map(|(_, service)| text(*service)).collect::<Result<_, _>>()?,
        user: fold.user.map(|user| text(user.name)).transpose()?,
        bands: fold.bands,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, schema};

    /// Returns the query plan of a page after the first, with all filters.
    fn plan(ids: Option<Ids>) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let connection = schema::open_reader(&dir.path().join("traces.db")).unwrap();
        let before = Before { start_ns: 1, trace_id: TraceId::from_bytes([1; 16]).unwrap() };
        let filter = ListFilter { error: Some(true), min_ms: Some(1.0), before: Some(before), ..ListFilter::default() };
        let (select, values) = statement(&filter, ids);
        let mut select = connection.prepare(&format!("EXPLAIN QUERY PLAN {select}")).unwrap();
        let rows = select.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_page_is_read_from_the_index_and_an_id_is_looked_up() {
        assert_eq!(plan(None), ["SEARCH traces USING INDEX traces_by_start ((start_ns,trace_id)<(?,?))"]);
        assert_eq!(
            plan(id_range("ab")),
            [
                "SEARCH traces USING INDEX sqlite_autoindex_traces_1 (trace_id>? AND trace_id<?)",
                "USE TEMP B-TREE FOR ORDER BY"
            ]
        );
    }

    #[test]
    fn hexadecimal_digits_become_a_range_of_ids() {
        let (least, greatest) = id_range("aB3").unwrap();
        assert_eq!(least[..3], [0xab, 0x30, 0]);
        assert_eq!(greatest[..3], [0xab, 0x3f, 0xff]);
        let whole = "0123456789abcdef0123456789abcdef";
        let (least, greatest) = id_range(whole).unwrap();
        assert_eq!(least, greatest);
        assert_eq!(id_range(&format!("{whole}0")), None);
        assert_eq!(id_range("abg"), None);
    }
}
