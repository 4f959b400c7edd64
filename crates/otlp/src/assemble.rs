//! What both encodings have in common on the way in: the rules for one record.

use std::sync::Arc;

use throughline_context::{IdError, SpanId, TraceId};

use crate::{
    Link, LogRecord, Reason, Record, Rejection, Resource, Scope, Span,
    record::Shared,
    value::{self, KeyValue},
};

/// A span's ids as its encoding read them. A parent that is absent or all zero is no parent.
pub(crate) struct Ids {
    pub(crate) trace_id: Result<TraceId, IdError>,
    pub(crate) span_id: Result<SpanId, IdError>,
    pub(crate) parent_span_id: Result<Option<SpanId>, IdError>,
}

impl Ids {
    /// All three, or the first that is wrong.
    pub(crate) fn checked(self) -> Result<(TraceId, SpanId, Option<SpanId>), Reason> {
        Ok((
            self.trace_id.map_err(Reason::TraceId)?,
            self.span_id.map_err(Reason::SpanId)?,
            self.parent_span_id.map_err(Reason::ParentSpanId)?,
        ))
    }
}

/// A log record's ids as its encoding read them. Either may be absent.
pub(crate) struct LogIds {
    pub(crate) trace_id: Result<Option<TraceId>, IdError>,
    pub(crate) span_id: Result<Option<SpanId>, IdError>,
}

impl LogIds {
    /// Both, or the first that is wrong.
    pub(crate) fn checked(self) -> Result<(Option<TraceId>, Option<SpanId>), Reason> {
        Ok((self.trace_id.map_err(Reason::TraceId)?, self.span_id.map_err(Reason::SpanId)?))
    }
}

/// An id that need not be there: empty is absent, and some senders write that as zeros.
pub(crate) fn optional<T>(id: Result<T, IdError>) -> Result<Option<T>, IdError> {
    match id {
        Err(IdError::AllZero | IdError::Length { actual: 0, .. }) => Ok(None),
        id => id.map(Some),
    }
}

/// The links whose ids are valid, and how many there are with those that the sender left out: a bad link is not
/// worth a span.
pub(crate) fn links(links: impl Iterator<Item = Result<Link, IdError>>, dropped_count: u32) -> (Vec<Link>, u32) {
    let mut dropped_count = dropped_count;
    let links =
        links.filter_map(|link| link.inspect_err(|_| dropped_count = dropped_count.saturating_add(1)).ok()).collect();
    (links, dropped_count)
}

/// The depth rule for everything that belongs to the span alone.
pub(crate) fn check_span(span: Span) -> Result<Span, Rejection> {
    let deep = value::any_too_deep(&span.attributes)
        || span.events.iter().any(|event| value::any_too_deep(&event.attributes))
        || span.links.iter().any(|link| value::any_too_deep(&link.attributes));
    check(span, deep)
}

/// The depth rule for everything that belongs to the log record alone.
pub(crate) fn check_log_record(record: LogRecord) -> Result<LogRecord, Rejection> {
    let deep = record.body.is_too_deep() || value::any_too_deep(&record.attributes);
    check(record, deep)
}

fn check<R: Record>(record: R, is_too_deep: bool) -> Result<R, Rejection> {
    if is_too_deep { Err(Rejection::of(&record, Reason::TooDeep)) } else { Ok(record) }
}

impl Shared {
    /// What comes from this resource, whatever the scope.
    pub(crate) fn of_resource(resource: Resource) -> Self {
        let broken = broken(&resource.attributes);
        Self { resource: Arc::new(resource), scope: Arc::default(), broken }
    }

    /// What comes from this scope in it.
    pub(crate) fn with_scope(&self, scope: Scope) -> Self {
        let broken = self.broken.clone().or_else(|| broken(&scope.attributes));
        Self { resource: Arc::clone(&self.resource), scope: Arc::new(scope), broken }
    }

    /// The rule that takes all records along.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}

/// The depth rule for a resource's or a scope's attributes.
fn broken(attributes: &[KeyValue]) -> Option<Reason> {
    value::any_too_deep(attributes).then_some(Reason::TooDeep)
}
