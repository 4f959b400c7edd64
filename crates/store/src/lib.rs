#![doc = include_str!("../README.md")]

mod append;
mod archive;
mod backup;
mod block;
mod checkpoint;
mod damage;
mod error;
mod facts;
mod fold;
mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
mod known;
mod list;
mod logs;
mod metrics;
mod outbox;
mod pool;
mod read;
mod resources;
mod retention;
mod schema;
mod search;
mod sink_cursor;
mod slowest;
mod span_store;
mod sqlite;
mod summary;
mod terms;
mod varint;
mod writer;

pub use crate::{
    archive::Archive,
    backup::backup,
    damage::quarantined,
    error::StoreError,
    facts::TraceFacts,
    inspect::{FileInspection, Inspection, inspect},
    list::{Before, ListFilter, MAX_LIST},
    metrics::{MAX_POINT_BYTES, MAX_QUEUED_BYTES, MAX_QUEUED_POINTS, MAX_SERIES, MetricCounts, Metrics},
    outbox::{Outbox, Quarantined},
    read::{MAX_AFTER_BYTES, MAX_TRACE_LOGS, MAX_TRACE_SPANS, TraceRun},
    retention::{Retention, Tidied},
    sink_cursor::{SinkCursor, SinkName, SinkNameError},
    slowest::MAX_ROUTES,
    span_store::{Appended, Counts, SpanStore},
    sqlite::Store,
    summary::{Bands, Summary},
    terms::MAX_TEXT_CHARS,
};
