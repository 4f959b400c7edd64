//! AWS X-Ray, `X-Amzn-Trace-Id: Root=1-{8 digits}-{24 digits};Parent={span id};Sampled={0|1|?}`:
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>.
//!
//! The published `opentelemetry-aws` is not used: of a header with `Root` alone, as load balancers send it, it makes a context
//! without a span id that replaces a valid `traceparent` and begins a trace that is not sampled; and it keeps "the decision is left open"
//! in the bit of the flags that W3C Trace Context level 2 has for random trace ids.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector},
};
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent};

use crate::trace_context::trace_parent;

const HEADER: &str = "x-amzn-trace-id";
pub(crate) const FIELDS: [&str; 1] = [HEADER];

/// How many digits of a trace id are the time at which it was made.
const TIME_DIGITS: usize = 8;

/// The caller's span. A header without `Parent` names none, and is no context.
pub(crate) fn extract(extractor: &dyn Extractor) -> Option<TraceParent> {
    let mut root = None;
    let mut parent = None;
    // OpenTelemetry's flags cannot leave a decision open (`?`, or nothing). Sampled, the trace is not lost; a sampler here may
    // still drop it.
    let mut is_sampled = true;
    for field in extractor.get(HEADER)?.split(';') {
        // What is no pair, and fields of others, are passed over.
        let Some((key, value)) = field.split_once('=') else { continue };
        let value = value.trim();
        match key.trim() {
            "Root" => root = Some(trace_id(value)?),
            "Parent" => parent = Some(value.parse::<SpanId>().ok()?),
            "Sampled" => is_sampled = value != "0",
            _ => {}
        }
    }
    Some(TraceParent::new(root?, parent?, TraceFlags::NONE.with_sampled(is_sampled)))
}

fn trace_id(root: &str) -> Option<TraceId> {
    let mut parts = root.split('-');
    let (version, time, unique) = (parts.next()?, parts.next()?, parts.next()?);
    let is_well_formed = version == "1" && time.len() == TIME_DIGITS && parts.next().is_none();
    if is_well_formed { [time, unique].concat().parse().ok() } else { None }
}

pub(crate) fn inject(context: &Context, injector: &mut dyn Injector) {
    let Some(parent) = trace_parent(context) else { return };
    let trace_id = parent.trace_id.to_string();
    let (time, unique) = trace_id.split_at(TIME_DIGITS);
    let sampled = u8::from(parent.flags.is_sampled());
    injector.set(HEADER, format!("Root=1-{time}-{unique};Parent={};Sampled={sampled}", parent.parent_id));
}
