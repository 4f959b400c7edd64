//! B3, the headers of Zipkin (<https://github.com/openzipkin/b3-propagation>).
//!
//! The published `opentelemetry-zipkin` is not used: it stores a deferred sampling decision in the flag bit that W3C
//! Trace Context Level 2 uses for random trace ids, so that a random trace is sent on without a decision; it reads `d`
//! as not sampled; and outside of a span it injects `0`, which turns tracing off for the receiver.

use opentelemetry::{
    Context, TraceId as OtelTraceId,
    propagation::{Extractor, Injector},
    trace::TraceContextExt,
};
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent};

use crate::trace_context::trace_parent;

const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

pub(crate) const SINGLE_FIELDS: [&str; 1] = [SINGLE];
pub(crate) const MULTI_FIELDS: [&str; 4] = [TRACE_ID, SPAN_ID, SAMPLED, FLAGS];

/// The caller's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) parent: TraceParent,
    is_debug: bool,
}

/// The caller's sampling decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Drop,
    Sample,
    /// Sampled, and no sampler may drop it.
    Debug,
    /// Deferred to the receiver.
    Open,
}

/// The debug flag of a trace, stored in a context.
#[derive(Debug)]
struct Debug {
    trace_id: OtelTraceId,
}

/// Extracts the caller's span from the single header, or else from the multiple headers, as the OpenTelemetry
/// specification requires of both propagators.
pub(crate) fn extract(extractor: &dyn Extractor) -> Option<Caller> {
    extractor.get(SINGLE).and_then(single).or_else(|| multi(extractor))
}

/// Parses `{trace id}-{span id}[-{decision}[-{parent's span id}]]`. A decision alone has no span.
fn single(value: &str) -> Option<Caller> {
    let mut parts = value.trim().split('-');
    let trace_id = parts.next()?;
    let span_id = parts.next()?;
    let decision = match parts.next() {
        None => Decision::Open,
        Some("0") => Decision::Drop,
        Some("1") => Decision::Sample,
        Some("d") => Decision::Debug,
        Some(_) => return None,
    };
    let has_valid_end = match parts.next() {
        None => true,
        Some(parents_parent) => parents_parent.parse::<SpanId>().is_ok() && parts.next().is_none(),
    };
    if has_valid_end { caller(trace_id, span_id, decision) } else { None }
}

fn multi(extractor: &dyn Extractor) -> Option<Caller> {
    let decision = match (extractor.get(FLAGS).map(str::trim), extractor.get(SAMPLED).map(str::trim)) {
        (Some("1"), _) => Decision::Debug,
        // Some early tracers send `true` and `false`.
        (_, Some("1" | "true")) => Decision::Sample,
        (_, Some("0" | "false")) => Decision::Drop,
        (_, None) => Decision::Open,
        (_, Some(_)) => return None,
    };
    caller(extractor.get(TRACE_ID)?.trim(), extractor.get(SPAN_ID)?.trim(), decision)
}

fn caller(trace_id: &str, span_id: &str, decision: Decision) -> Option<Caller> {
    let trace_id = match trace_id.len() {
        // A 64-bit id is the lower half of a trace id.
        16 => format!("{:016}{trace_id}", 0).parse::<TraceId>(),
        _ => trace_id.parse::<TraceId>(),
    };
    // OpenTelemetry's flags cannot express a deferred decision. As sampled, the trace is not lost, and a sampler can
    // still drop it.
    let flags = TraceFlags::NONE.with_sampled(decision != Decision::Drop);
    let parent = TraceParent::new(trace_id.ok()?, span_id.parse().ok()?, flags);
    Some(Caller { parent, is_debug: decision == Decision::Debug })
}

/// Stores the debug flag, which OpenTelemetry's flags cannot express, so that it is sent on.
pub(crate) fn with_debug(context: Context, caller: &Caller) -> Context {
    if !caller.is_debug {
        return context;
    }
    context.with_value(Debug { trace_id: OtelTraceId::from_bytes(caller.parent.trace_id.to_bytes()) })
}

fn is_debug(context: &Context) -> bool {
    context.get::<Debug>().is_some_and(|debug| debug.trace_id == context.span().span_context().trace_id())
}

pub(crate) fn inject_single(context: &Context, injector: &mut dyn Injector) {
    let Some(parent) = trace_parent(context) else { return };
    let decision = if is_debug(context) {
        "d"
    } else if parent.flags.is_sampled() {
        "1"
    } else {
        "0"
    };
    injector.set(SINGLE, format!("{}-{}-{decision}", parent.trace_id, parent.parent_id));
}

pub(crate) fn inject_multi(context: &Context, injector: &mut dyn Injector) {
    let Some(parent) = trace_parent(context) else { return };
    injector.set(TRACE_ID, parent.trace_id.to_string());
    injector.set(SPAN_ID, parent.parent_id.to_string());
    if is_debug(context) {
        // Implies the decision, which must not be sent with it.
        injector.set(FLAGS, "1".to_owned());
    } else {
        injector.set(SAMPLED, if parent.flags.is_sampled() { "1" } else { "0" }.to_owned());
    }
}
