//! Validation of decoded records, for both encodings.

use std::sync::Arc;

use throughline_context::{IdError, SpanId, TraceId};

use crate::{
    Link, LogRecord, Reason, Record, Rejection, Resource, Scope, Span,
    record::Shared,
    value::{self, KeyValue},
};

/// The decoded ids of a span. A parent id that is absent or all zero means no parent.
pub(crate) struct Ids {
    pub(crate) trace_id: Result<TraceId, IdError>,
    pub(crate) span_id: Result<SpanId, IdError>,
    pub(crate) parent_span_id: Result<Option<SpanId>, IdError>,
}

impl Ids {
    /// Returns all three ids, or the reason for the first invalid one.
    pub(crate) fn checked(self) -> Result<(TraceId, SpanId, Option<SpanId>), Reason> {
        Ok((
            self.trace_id.map_err(Reason::TraceId)?,
            self.span_id.map_err(Reason::SpanId)?,
            self.parent_span_id.map_err(Reason::ParentSpanId)?,
        ))
    }
}

/// The decoded ids of a log record. Each may be absent.
pub(crate) struct LogIds {
    pub(crate) trace_id: Result<Option<TraceId>, IdError>,
    pub(crate) span_id: Result<Option<SpanId>, IdError>,
}

impl LogIds {
    /// Returns both ids, or the reason for the first invalid one.
    pub(crate) fn checked(self) -> Result<(Option<TraceId>, Option<SpanId>), Reason> {
        Ok((self.trace_id.map_err(Reason::TraceId)?, self.span_id.map_err(Reason::SpanId)?))
    }
}

/// Makes an id optional: an empty id is absent, and so is an all-zero id, which some senders write instead.
pub(crate) fn optional<T>(id: Result<T, IdError>) -> Result<Option<T>, IdError> {
    match id {
        Err(IdError::AllZero | IdError::Length { actual: 0, .. }) => Ok(None),
        id => id.map(Some),
    }
}

/// Returns the links with valid ids, and the number of dropped links, including those of the sender. An invalid link
/// does not reject its span.
pub(crate) fn links(links: impl Iterator<Item = Result<Link, IdError>>, dropped_count: u32) -> (Vec<Link>, u32) {
    let mut dropped_count = dropped_count;
    let links =
        links.filter_map(|link| link.inspect_err(|_| dropped_count = dropped_count.saturating_add(1)).ok()).collect();
    (links, dropped_count)
}

/// Checks the nesting depth of all attributes of a span, its events and its links.
pub(crate) fn check_span(span: Span) -> Result<Span, Rejection> {
    let deep = value::any_too_deep(&span.attributes)
        || span.events.iter().any(|event| value::any_too_deep(&event.attributes))
        || span.links.iter().any(|link| value::any_too_deep(&link.attributes));
    check(span, deep)
}

/// Checks the nesting depth of the body and the attributes of a log record.
pub(crate) fn check_log_record(record: LogRecord) -> Result<LogRecord, Rejection> {
    let deep = record.body.is_too_deep() || value::any_too_deep(&record.attributes);
    check(record, deep)
}

fn check<R: Record>(record: R, is_too_deep: bool) -> Result<R, Rejection> {
    if is_too_deep { Err(Rejection::of(&record, Reason::TooDeep)) } else { Ok(record) }
}

impl Shared {
    /// Creates the shared part of the records of a resource, with an empty scope.
    pub(crate) fn of_resource(resource: Resource) -> Self {
        let broken = broken(&resource.attributes);
        Self { resource: Arc::new(resource), scope: Arc::default(), broken }
    }

    /// Returns the shared part of the records of a scope of this resource.
    pub(crate) fn with_scope(&self, scope: Scope) -> Self {
        let broken = self.broken.clone().or_else(|| broken(&scope.attributes));
        Self { resource: Arc::clone(&self.resource), scope: Arc::new(scope), broken }
    }

    /// Returns the reason for which all records are rejected, if any.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}

/// Checks the nesting depth of the attributes of a resource or a scope.
fn broken(attributes: &[KeyValue]) -> Option<Reason> {
    value::any_too_deep(attributes).then_some(Reason::TooDeep)
}
