//! AWS X-Ray: `X-Amzn-Trace-Id: Root=1-{8 digits}-{24 digits};Parent={span id};Sampled={0|1|?}`
//! (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).
//!
//! The published `opentelemetry-aws` is not used: from a header with only `Root`, as load balancers send it, it creates
//! a context without a span id, which replaces a valid `traceparent` and starts a trace that is not sampled; and it
//! stores a deferred sampling decision in the flag bit that W3C Trace Context Level 2 uses for random trace ids.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector},
};
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent};

use crate::trace_context::trace_parent;

const HEADER: &str = "x-amzn-trace-id";
pub(crate) const FIELDS: [&str; 1] = [HEADER];

/// The number of digits at the start of a trace id that contain its creation time.
const TIME_DIGITS: usize = 8;

/// Extracts the caller's span. A header without `Parent` has no span, and is no context.
pub(crate) fn extract(extractor: &dyn Extractor) -> Option<TraceParent> {
    let mut root = None;
    let mut parent = None;
    // OpenTelemetry's flags cannot express a deferred decision (`?`, or none). As sampled, the trace is not lost, and a
    // sampler can still drop it.
    let mut is_sampled = true;
    for field in extractor.get(HEADER)?.split(';') {
        // Unknown fields, and text that is not a pair, are ignored.
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
