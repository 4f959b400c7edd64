//! Queries on the spans of a trace.

use throughline_inspector_api::{LogRecord, Span, SpanKind, Trace};

use crate::api::outline;

/// Queries on a trace.
pub trait TraceExt {
    /// Returns the only span that matches `is`; panics if there is none or more than one. `what` describes it in the panic.
    fn one(&self, what: &str, is: impl Fn(&Span) -> bool) -> &Span;
    /// Returns the number of spans with this name.
    fn count(&self, name: &str) -> usize;
    /// Returns the only span without a parent.
    fn root(&self) -> &Span;
    /// Returns the only child of `parent` with this name.
    fn child(&self, parent: &Span, name: &str) -> &Span;
    /// Returns the children of `parent`.
    fn children(&self, parent: &Span) -> Vec<&Span>;
    /// Returns the server's span of a request of the page, if it has arrived.
    fn server_span(&self, request: &Span) -> Option<&Span>;
    /// Returns the events with this name.
    fn events(&self, name: &str) -> Vec<&LogRecord>;
}

impl TraceExt for Trace {
    fn one(&self, what: &str, is: impl Fn(&Span) -> bool) -> &Span {
        let found: Vec<_> = self.spans.iter().filter(|span| is(span)).collect();
        assert_eq!(found.len(), 1, "{what} in\n{}", outline(self));
        found[0]
    }

    fn count(&self, name: &str) -> usize {
        self.spans.iter().filter(|span| span.name == name).count()
    }

    fn root(&self) -> &Span {
        self.one("a root", |span| span.parent_span_id.is_none())
    }

    fn child(&self, parent: &Span, name: &str) -> &Span {
        self.one(&format!("`{name}` below `{}`", parent.name), |span| {
            span.parent_span_id.as_deref() == Some(&parent.span_id) && span.name == name
        })
    }

    fn children(&self, parent: &Span) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.parent_span_id.as_deref() == Some(&parent.span_id)).collect()
    }

    fn server_span(&self, request: &Span) -> Option<&Span> {
        self.children(request).into_iter().find(|span| span.kind == SpanKind::Server)
    }

    fn events(&self, name: &str) -> Vec<&LogRecord> {
        self.logs.iter().filter(|log| log.event_name == name).collect()
    }
}
