//! What both encodings have in common on the way in: the rules for one span.

use throughline_context::IdError;

use crate::{
    Link, Reason, Span,
    value::{self, KeyValue},
};

/// A span's ids as its encoding read them. A parent that is absent or all zero is no parent.
pub(crate) struct Ids<T, S> {
    pub(crate) trace_id: Result<T, IdError>,
    pub(crate) span_id: Result<S, IdError>,
    pub(crate) parent_span_id: Result<Option<S>, IdError>,
}

impl<T, S> Ids<T, S> {
    /// All three, or the first that is wrong.
    pub(crate) fn checked(self) -> Result<(T, S, Option<S>), Reason> {
        Ok((
            self.trace_id.map_err(Reason::TraceId)?,
            self.span_id.map_err(Reason::SpanId)?,
            self.parent_span_id.map_err(Reason::ParentSpanId)?,
        ))
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
pub(crate) fn check_depth(span: &Span) -> Result<(), Reason> {
    let deep = value::any_too_deep(&span.attributes)
        || span.events.iter().any(|event| value::any_too_deep(&event.attributes))
        || span.links.iter().any(|link| value::any_too_deep(&link.attributes));
    if deep { Err(Reason::TooDeep) } else { Ok(()) }
}

/// The depth rule for a resource's or a scope's attributes; what breaks it takes all its spans along.
pub(crate) fn check_shared_depth(attributes: &[KeyValue]) -> Result<(), Reason> {
    if value::any_too_deep(attributes) { Err(Reason::TooDeep) } else { Ok(()) }
}
