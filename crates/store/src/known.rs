//! A cache of the traces that were written to recently, so that most spans need no lookup in the file.

use foldhash::{HashMap, HashSet};
use rusqlite::{Connection, params};
use throughline_context::{SpanId, TraceId};

use crate::{StoreError, block, fold::Fold, read};

/// The number of traces in the younger generation of the cache.
const TRACES: usize = 16_384;
/// The number of span ids in the younger generation, and the maximum for one trace.
const SPAN_IDS: usize = 1 << 19;
/// The maximum number of blocks that are read for the span ids of a trace.
const BLOCKS: usize = 1_024;

/// A trace in the writer's cache.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Its number in the file, unless it is new.
    pub(crate) no: Option<i64>,
    /// Its row, unless it is new.
    pub(crate) fold: Option<Fold>,
    span_ids: HashSet<SpanId>,
}

impl Trace {
    /// Adds a span id, and returns whether it is new. If a trace has more spans than fit, only the latest are known.
    pub(crate) fn is_new(&mut self, span_id: SpanId) -> bool {
        if self.span_ids.len() >= SPAN_IDS {
            self.span_ids.clear();
        }
        self.span_ids.insert(span_id)
    }

    /// Reads a trace from the file.
    fn load(connection: &Connection, trace_id: TraceId) -> Result<Self, StoreError> {
        let Some((no, fold)) = read::fold(connection, trace_id)? else { return Ok(Self::default()) };
        let mut trace = Self { no: Some(no), fold: Some(fold), span_ids: HashSet::default() };
        let mut select = connection.prepare_cached(
            "SELECT body FROM trace_blocks JOIN blocks USING (last_seq)
             WHERE trace_no = ?1 ORDER BY last_seq DESC LIMIT ?2",
        )?;
        let mut rows = select.query(params![no, BLOCKS])?;
        while let Some(row) = rows.next()? {
            let head = block::head(row.get_ref(0)?.as_blob().map_err(read::damaged)?)?;
            for run in head.runs.iter().filter(|run| run.trace_id == trace_id) {
                trace.span_ids.extend(&head.span_ids[run.first..run.first + run.spans]);
            }
            if trace.span_ids.len() >= SPAN_IDS {
                break;
            }
        }
        Ok(trace)
    }
}

/// A cache of traces in two generations: a trace that is not used while the younger one fills up is dropped with the older one.
#[derive(Debug, Default)]
pub(crate) struct Known {
    young: HashMap<TraceId, Trace>,
    old: HashMap<TraceId, Trace>,
    span_ids: usize,
}

impl Known {
    /// Takes a trace from the cache, or reads it from the file. The caller has to put it back.
    pub(crate) fn take(&mut self, connection: &Connection, trace_id: TraceId) -> Result<Trace, StoreError> {
        match self.young.remove(&trace_id).or_else(|| self.old.remove(&trace_id)) {
            Some(trace) => Ok(trace),
            None => Trace::load(connection, trace_id),
        }
    }

    /// Returns the fold of a trace, if it is in the cache.
    pub(crate) fn fold(&self, trace_id: TraceId) -> Option<&Fold> {
        self.young.get(&trace_id).or_else(|| self.old.get(&trace_id))?.fold.as_ref()
    }

    /// Puts a trace into the cache, as it is in the file.
    pub(crate) fn put(&mut self, trace_id: TraceId, trace: Trace) {
        if self.young.len() >= TRACES || self.span_ids >= SPAN_IDS {
            self.old = std::mem::take(&mut self.young);
            self.span_ids = 0;
        }
        self.span_ids += trace.span_ids.len();
        self.young.insert(trace_id, trace);
    }

    /// Removes a trace that was changed elsewhere.
    pub(crate) fn forget(&mut self, trace_id: TraceId) {
        self.young.remove(&trace_id);
        self.old.remove(&trace_id);
    }

    /// Clears the cache: it may differ from the file.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
