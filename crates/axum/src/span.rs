//! The server span: created by an OpenTelemetry tracer, or as a `tracing` span.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, SpanRef, TraceContextExt, Tracer},
};
use throughline_context::TraceParent;
use throughline_propagator::trace_parent;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of the layer's `tracing` spans, for use in filters.
pub(crate) const TARGET: &str = "throughline::http";

/// The initial state of a span.
pub(crate) struct Beginning {
    pub(crate) name: Cow<'static, str>,
    pub(crate) start: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) origin: Origin,
}

/// The parent of a span.
pub(crate) enum Origin {
    /// A child of the span in this extracted context, with its baggage.
    Below(Context),
    /// A root span with a link to this one.
    Link(SpanContext),
    /// A child of the current span around the layer; usually there is none.
    Here,
}

impl Origin {
    /// Returns the parent context of the span.
    fn context(&self) -> Context {
        match self {
            Self::Below(context) => context.clone(),
            Self::Link(_) => Context::new(),
            Self::Here => Context::current(),
        }
    }
}

/// Creates server spans.
pub(crate) trait Start: Send + Sync {
    fn start(&self, beginning: Beginning) -> ServerSpan;
}

/// Creates spans with an OpenTelemetry tracer.
pub(crate) struct ByTracer<T>(pub(crate) T);

impl<T> Start for ByTracer<T>
where
    T: Tracer + Send + Sync,
    T::Span: Send + Sync + 'static,
{
    fn start(&self, beginning: Beginning) -> ServerSpan {
        let Beginning { name, start, attributes, origin } = beginning;
        let mut builder =
            SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_start_time(start).with_attributes(attributes);
        let parent = origin.context();
        if let Origin::Link(linked) = origin {
            builder = builder.with_links(vec![Link::with_context(linked)]);
        }
        let span = self.0.build_with_context(builder, &parent);
        ServerSpan { context: parent.with_span(span), tracing: tracing::Span::none(), is_ours: true }
    }
}

/// Creates `tracing` spans, which a `tracing-opentelemetry` layer turns into OpenTelemetry spans.
pub(crate) struct ByTracing;

impl Start for ByTracing {
    fn start(&self, beginning: Beginning) -> ServerSpan {
        let Beginning { name, attributes, origin, .. } = beginning;
        let span = tracing::info_span!(
            target: TARGET,
            "http.server",
            otel.name = &*name,
            otel.kind = "server",
        );
        let parent = origin.context();
        if span.is_disabled() {
            return ServerSpan { context: parent, tracing: span, is_ours: false };
        }
        // `Here` means the parent that `tracing` has set.
        if !matches!(origin, Origin::Here) {
            // best effort: without an OpenTelemetry layer there is no span to set the parent of, and a span that
            // another layer has already started keeps its parent.
            let _ = span.set_parent(parent.clone());
        }
        if let Origin::Link(linked) = origin {
            span.add_link(linked);
        }
        // Set before the span starts, so that samplers see them.
        for KeyValue { key, value, .. } in attributes {
            span.set_attribute(key, value);
        }
        let context = span.context();
        if context.span().span_context().is_valid() {
            ServerSpan { context, tracing: span, is_ours: true }
        } else {
            ServerSpan { context: parent, tracing: span, is_ours: false }
        }
    }
}

/// The span of a request.
pub(crate) struct ServerSpan {
    /// The context that contains the span, or, if no span was created, the client's.
    context: Context,
    /// Disabled if a tracer created the span.
    tracing: tracing::Span,
    is_ours: bool,
}

impl ServerSpan {
    /// Runs `work` with the span as the current one, in both `tracing` and OpenTelemetry.
    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        // A `tracing` span that has an OpenTelemetry span makes it current when it is entered.
        let _guard = (self.tracing.is_disabled() || !self.is_ours).then(|| self.context.clone().attach());
        self.tracing.in_scope(work)
    }

    /// Returns the span, to add attributes, events and the status. A no-op span if none was created.
    pub(crate) fn get(&self) -> SpanRef<'_> {
        self.context.span()
    }

    /// Returns the span's `traceparent`, with the random flag of its trace; `None` if no span was created.
    pub(crate) fn trace_parent(&self) -> Option<TraceParent> {
        if self.is_ours { trace_parent(&self.context) } else { None }
    }

    /// Ends the span at `end`. Without this call, a `tracing` span ends at the time when it was last exited.
    pub(crate) fn end(&self, end: SystemTime) {
        if self.is_ours {
            self.context.span().end_with_timestamp(end);
        }
    }
}
