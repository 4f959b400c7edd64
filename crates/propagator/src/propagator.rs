//! [`Propagator`]: the formats, in the order in which they are read and written.

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

/// Trace context and baggage as a propagator of OpenTelemetry.
///
/// As the global propagator it makes every instrumentation of the process conform: what a server layer, an HTTP client or a gRPC
/// library reads and writes follows the same rules. [`new`](Self::new) is for W3C Trace Context and W3C Baggage;
/// [`from_env`](Self::from_env) reads `OTEL_PROPAGATORS`.
///
/// - All headers of a name are read, if the [`Extractor`] returns them by `get_all`. A request with two `traceparent` headers has
///   none.
/// - `tracestate` headers are one list, in their order; a malformed list is dropped whole. Order and members are kept even if
///   opentelemetry's own type refuses a key that the specification allows.
/// - The random flag is kept for spans that are not sampled, where the SDK drops it. A trace that begins in this process has it
///   set, because the SDK's trace ids end in random bytes.
/// - Baggage never exceeds 64 members or 8192 bytes; a member is sent whole, with its properties, or not at all.
/// - A context that is not valid never replaces a valid one, whatever the order of the formats.
///
/// ```
/// opentelemetry::global::set_text_map_propagator(throughline_propagator::Propagator::new());
/// ```
#[derive(Clone, Debug)]
pub struct Propagator {
    formats: Vec<Format>,
    fields: Vec<String>,
}

/// One entry of `OTEL_PROPAGATORS`.
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
    /// W3C Trace Context level 2 and W3C Baggage.
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

/// As [`Propagator::new`].
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

/// `context` with `parent`, which came in a format without `tracestate`. Callers that send several formats name the same span in each:
/// then what `traceparent` and `tracestate` said is more, and is kept.
#[cfg(any(feature = "b3", feature = "xray"))]
fn without_loss(context: &Context, w3c: Option<TraceParent>, parent: TraceParent) -> Context {
    let is_known = w3c.is_some_and(|known| known.trace_id == parent.trace_id && known.parent_id == parent.parent_id);
    if is_known {
        return context.clone();
    }
    trace_context::with_remote_parent(context, parent, TraceState::default())
}
