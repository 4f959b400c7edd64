//! [`Propagator`]: the list of formats, in the order in which they are extracted and injected.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
};
#[cfg(any(feature = "b3", feature = "xray"))]
use throughline_context::{TraceParent, TraceState};

#[cfg(feature = "b3")]
use crate::b3;
#[cfg(feature = "xray")]
use crate::xray;
use crate::{baggage, trace_context};

/// An OpenTelemetry propagator for trace context and baggage.
///
/// As the global propagator, it makes every instrumentation of the process conform: server layers, HTTP clients and
/// gRPC libraries then follow the same rules. [`new`](Self::new) is for W3C Trace Context and W3C Baggage;
/// [`from_env`](Self::from_env) reads `OTEL_PROPAGATORS`.
///
/// - All headers with the same name are read, if the [`Extractor`] returns them from `get_all`. A request with two
///   `traceparent` headers has no trace context.
/// - All `tracestate` headers are read as one list, in order; a malformed list is dropped. Order and members are kept,
///   even if opentelemetry's own type rejects a key that the specification allows.
/// - The random flag is kept for spans that are not sampled, for which the SDK drops it. It is set for traces that
///   start in this process, because the SDK's trace ids end in random bytes.
/// - Baggage never exceeds 64 members or 8192 bytes; a member is sent completely, with its properties, or not at all.
/// - An invalid context never replaces a valid one, regardless of the order of the formats.
///
/// ```
/// opentelemetry::global::set_text_map_propagator(throughline_propagator::Propagator::new());
/// ```
#[derive(Clone, Debug)]
pub struct Propagator {
    formats: Vec<Format>,
    fields: Vec<String>,
}

/// A format named in `OTEL_PROPAGATORS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    TraceContext,
    Baggage,
    #[cfg(feature = "b3")]
    B3,
    #[cfg(feature = "b3")]
    B3Multi,
    #[cfg(feature = "xray")]
    XRay,
}

impl Format {
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::TraceContext => &trace_context::FIELDS,
            Self::Baggage => &baggage::FIELDS,
            #[cfg(feature = "b3")]
            Self::B3 => &b3::SINGLE_FIELDS,
            #[cfg(feature = "b3")]
            Self::B3Multi => &b3::MULTI_FIELDS,
            #[cfg(feature = "xray")]
            Self::XRay => &xray::FIELDS,
        }
    }
}

impl Propagator {
    /// Creates a propagator for W3C Trace Context Level 2 and W3C Baggage.
    #[must_use]
    pub fn new() -> Self {
        Self::of(vec![Format::TraceContext, Format::Baggage])
    }

    pub(crate) fn of(formats: Vec<Format>) -> Self {
        let fields = formats.iter().flat_map(|format| format.fields()).map(|field| (*field).to_owned()).collect();
        Self { formats, fields }
    }

    #[cfg(test)]
    pub(crate) fn formats(&self) -> &[Format] {
        &self.formats
    }
}

/// Creates the same propagator as [`Propagator::new`].
impl Default for Propagator {
    fn default() -> Self {
        Self::new()
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        for format in &self.formats {
            match format {
                Format::TraceContext => trace_context::inject(context, injector),
                Format::Baggage => baggage::inject(context, injector),
                #[cfg(feature = "b3")]
                Format::B3 => b3::inject_single(context, injector),
                #[cfg(feature = "b3")]
                Format::B3Multi => b3::inject_multi(context, injector),
                #[cfg(feature = "xray")]
                Format::XRay => xray::inject(context, injector),
            }
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let mut extracted = context.clone();
        #[cfg(any(feature = "b3", feature = "xray"))]
        let mut w3c: Option<TraceParent> = None;
        for format in &self.formats {
            match format {
                Format::TraceContext => {
                    if let Some((parent, state)) = trace_context::extract(extractor) {
                        extracted = trace_context::with_remote_parent(&extracted, parent, state);
                        #[cfg(any(feature = "b3", feature = "xray"))]
                        (w3c = Some(parent));
                    }
                }
                Format::Baggage => {
                    if let Some(with_baggage) = baggage::extract(&extracted, extractor) {
                        extracted = with_baggage;
                    }
                }
                #[cfg(feature = "b3")]
                Format::B3 | Format::B3Multi => {
                    if let Some(caller) = b3::extract(extractor) {
                        extracted = without_loss(&extracted, w3c, caller.parent);
                        extracted = b3::with_debug(extracted, &caller);
                    }
                }
                #[cfg(feature = "xray")]
                Format::XRay => {
                    if let Some(parent) = xray::extract(extractor) {
                        extracted = without_loss(&extracted, w3c, parent);
                    }
                }
            }
        }
        extracted
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}

/// Returns `context` with `parent`, which came in a format without `tracestate`. Callers that send several formats send
/// the same span in each: then the `traceparent` and `tracestate`, which contain more, are kept.
#[cfg(any(feature = "b3", feature = "xray"))]
fn without_loss(context: &Context, w3c: Option<TraceParent>, parent: TraceParent) -> Context {
    let is_known = w3c.is_some_and(|known| known.trace_id == parent.trace_id && known.parent_id == parent.parent_id);
    if is_known {
        return context.clone();
    }
    trace_context::with_remote_parent(context, parent, TraceState::default())
}
