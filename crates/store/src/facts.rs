//! The facts about a trace that tail sampling and clock alignment use, read from the trace's row.

use rusqlite::Connection;
use throughline_context::TraceId;
use throughline_timing::MeasuredOffset;

use crate::{StoreError, read, terms};

/// Facts about a trace that are known without reading its spans: whether something failed, how long its requests took, and
/// the clock offset that was measured with them.
///
/// The facts cover every span that was ever stored, and every log record that is still stored. If retention has removed a
/// part of a trace, the failed spans of that part no longer count, but its durations and offsets do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceFacts {
    /// Whether a span failed, or a log record has the severity ERROR or worse.
    pub has_error: bool,
    /// The longest duration of a span without a parent, in nanoseconds; `None` if there is no such span.
    pub slowest_root_ns: Option<u64>,
    /// The longest duration among the spans of each `http.route`, in nanoseconds, the longest first; at most
    /// [`MAX_ROUTES`](crate::MAX_ROUTES). Routes are cut to [`MAX_TEXT_CHARS`](crate::MAX_TEXT_CHARS) characters: routes that
    /// differ only after that count as one.
    pub routes: Vec<(String, u64)>,
    /// The offset to add to the page's times to convert them to the server's clock, as
    /// [`Alignment::page`](throughline_timing::Alignment::page) of all spans; `None` if no request was measured.
    pub page_clock: Option<MeasuredOffset>,
    /// Whether the trace has more routes than `routes`. None of them took longer than the last entry of `routes`.
    pub has_more_routes: bool,
}

/// Returns the facts of each trace, in the given order. For a trace without spans, only `has_error` can be set, by its log
/// records.
pub(crate) fn facts(connection: &Connection, trace_ids: &[TraceId]) -> Result<Vec<TraceFacts>, StoreError> {
    trace_ids.iter().map(|trace_id| facts_of(connection, *trace_id)).collect()
}

fn facts_of(connection: &Connection, trace_id: TraceId) -> Result<TraceFacts, StoreError> {
    let has_error_record = connection
        .prepare_cached("SELECT 1 FROM logs WHERE trace_id = ?1 AND is_error = 1 LIMIT 1")?
        .exists([trace_id.to_bytes()])?;
    let Some((_, fold)) = read::fold(connection, trace_id)? else {
        return Ok(TraceFacts { has_error: has_error_record, ..TraceFacts::default() });
    };
    let route = |(duration_ns, route): &(u64, _)| Ok((terms::text(connection, *route)?, *duration_ns));
    Ok(TraceFacts {
        has_error: has_error_record || fold.error_count > 0,
        slowest_root_ns: fold.slowest.root_ns,
        routes: fold.slowest.routes.iter().map(route).collect::<Result<_, StoreError>>()?,
        page_clock: fold.clock,
        has_more_routes: fold.slowest.has_more_routes,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Store, schema};

    #[test]
    fn error_records_are_looked_up_in_their_own_index() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let connection = schema::open_reader(&dir.path().join("traces.db")).unwrap();
        let plan: String = connection
            .query_row(
                "EXPLAIN QUERY PLAN SELECT 1 FROM logs WHERE trace_id = ?1 AND is_error = 1 LIMIT 1",
                [[1_u8; 16]],
                |row| row.get(3),
            )
            .unwrap();
        assert_eq!(plan, "SEARCH logs USING COVERING INDEX logs_of_errors (trace_id=?)");
    }
}
