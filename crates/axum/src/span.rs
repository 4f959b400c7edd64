//! The server span: made by an OpenTelemetry tracer directly, or as a `tracing` span.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, SpanRef, TraceContextExt, Tracer},
};
use throughline_context::TraceParent;
use throughline_propagator::trace_parent;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of the layer's `tracing` spans: a filter that hides it hides them.
pub(crate) const TARGET: &str = "throughline::http";

/// What a span begins with.
pub(crate) struct Beginning {
    pub(crate) name: Cow<'static, str>,
    pub(crate) start: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) origin: Origin,
}

/// Where a span hangs.
pub(crate) enum Origin {
    /// In this context, which came from elsewhere: below its span, with its baggage.
    Below(Context),
    /// A root, with a link to this one.
    Link(SpanContext),
    /// Below whatever surrounds the layer: nothing, as a rule.
    Here,
}

impl Origin {
    /// What the span is made in.
    fn context(&self) -> Context {
        match self {
            Self::Below(context) => context.clone(),
            Self::Link(_) => Context::new(),
            Self::Here => Context::current(),
        }
    }
}

/// Who makes spans.
pub(crate) trait Start: Send + Sync {
    fn start(&self, beginning: Beginning) -> ServerSpan;
}

/// An OpenTelemetry tracer: the short way.
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

/// A `tracing` span, which a `tracing-opentelemetry` layer makes an OpenTelemetry span of.
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
            // best effort: without an OpenTelemetry layer there is no span that could have a parent, and a span that another
            // layer has started already keeps the parent that it has.
            let _ = span.set_parent(parent.clone());
        }
        if let Origin::Link(linked) = origin {
            span.add_link(linked);
        }
        // Before the span is started, so that samplers see them.
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
    /// With the span in it; where nobody makes spans, with the client's.
    context: Context,
    /// Disabled if a tracer made the span.
    tracing: tracing::Span,
    is_ours: bool,
}

impl ServerSpan {
    /// Runs `work` with the span as the current one, for `tracing` and for OpenTelemetry.
    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        // A `tracing` span that has an OpenTelemetry span makes it current by itself.
        let _guard = (self.tracing.is_disabled() || !self.is_ours).then(|| self.context.clone().attach());
        self.tracing.in_scope(work)
    }

    /// To add attributes, events and the status to; does nothing where nobody makes spans.
    pub(crate) fn get(&self) -> SpanRef<'_> {
        self.context.span()
    }

    /// The span as it is told to others, with the random flag of its trace; `None` where nobody makes spans.
    pub(crate) fn trace_parent(&self) -> Option<TraceParent> {
        if self.is_ours { trace_parent(&self.context) } else { None }
    }

    /// Ends the span now. Without this, the end of a `tracing` span would be when it was last entered.
    pub(crate) fn end(&self, end: SystemTime) {
        if self.is_ours {
            self.context.span().end_with_timestamp(end);
        }
    }
}
