//! The W3C Trace Context format, level 2.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector},
    trace::{SpanContext, TraceContextExt, TraceFlags as OtelTraceFlags, TraceState as OtelTraceState},
};
use throughline_context::{SpanId, TraceFlags, TraceId, TraceParent, TraceState};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
pub(crate) const FIELDS: [&str; 2] = [TRACEPARENT, TRACESTATE];

pub(crate) fn inject(context: &Context, injector: &mut dyn Injector) {
    let Some(parent) = trace_parent(context) else { return };
    injector.set(TRACEPARENT, parent.to_string());
    let state = trace_state(context);
    if !state.is_empty() {
        injector.set(TRACESTATE, state.to_string());
    }
}

/// Extracts the caller's span; `None` without a valid `traceparent`.
pub(crate) fn extract(extractor: &dyn Extractor) -> Option<(TraceParent, TraceState)> {
    let parents = extractor.get_all(TRACEPARENT)?;
    let parent = TraceParent::from_headers(parents.into_iter().map(str::as_bytes))?;
    let state = match extractor.get_all(TRACESTATE) {
        // default: a malformed list is dropped and the `traceparent` kept, as W3C Trace Context requires.
        Some(states) => TraceState::parse_headers(states.into_iter().map(str::as_bytes)).unwrap_or_default(),
        None => TraceState::default(),
    };
    Some((parent, state))
}

/// The parts of a remote parent that opentelemetry's types cannot hold.
#[derive(Debug)]
struct Unrepresented {
    trace_id: opentelemetry::TraceId,
    /// The received random flag, which the SDK drops for a span that is not sampled.
    random: bool,
    /// The received list, if [`OtelTraceState`] rejects part of it.
    state: Option<TraceState>,
}

/// Returns `context` with `parent` as its remote span, and with the parts that opentelemetry's types cannot hold.
pub(crate) fn with_remote_parent(context: &Context, parent: TraceParent, state: TraceState) -> Context {
    let (accepted, complete) = accepted_part(&state);
    let context = context.with_remote_span_context(span_context(parent, accepted));
    let random = parent.flags.is_random();
    let trace_id = opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes());
    // A value stored for another header of the same trace no longer applies.
    let has_stored = context.get::<Unrepresented>().is_some_and(|stored| stored.trace_id == trace_id);
    if random && complete && !has_stored {
        // Nothing is missing: a trace without a stored value counts as random.
        return context;
    }
    context.with_value(Unrepresented { trace_id, random, state: (!complete).then_some(state) })
}

fn span_context(parent: TraceParent, state: OtelTraceState) -> SpanContext {
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes()),
        opentelemetry::SpanId::from_bytes(parent.parent_id.to_bytes()),
        OtelTraceFlags::new(parent.flags.bits()),
        true,
        state,
    )
}

/// Returns the current span of `context` as a `traceparent`, with the random flag of its trace even if the SDK has
/// dropped it; `None` outside of a span.
#[must_use]
pub fn trace_parent(context: &Context) -> Option<TraceParent> {
    let span = context.span();
    let span = span.span_context();
    let trace_id = TraceId::from_bytes(span.trace_id().to_bytes())?;
    let parent_id = SpanId::from_bytes(span.span_id().to_bytes())?;
    let flags = TraceFlags::new(span.trace_flags().to_u8());
    let random = match unrepresented(context) {
        Some(unrepresented) => unrepresented.random,
        // Nothing was stored: the flag was received, or the trace started here.
        None => flags.is_random() || !span.is_remote(),
    };
    let sampled = TraceFlags::NONE.with_sampled(flags.is_sampled());
    Some(TraceParent::new(trace_id, parent_id, if random { sampled | TraceFlags::RANDOM } else { sampled }))
}

/// Returns the stored parts for the trace of the current span.
fn unrepresented(context: &Context) -> Option<&Unrepresented> {
    context
        .get::<Unrepresented>()
        .filter(|unrepresented| unrepresented.trace_id == context.span().span_context().trace_id())
}

/// Returns the list to send on. Members that a sampler or the application added come first, as in opentelemetry's list.
fn trace_state(context: &Context) -> TraceState {
    let current = context.span().span_context().trace_state().header();
    // An application can add an invalid member. Receivers would drop the whole list because of it, so it is dropped
    // here.
    let Ok(current) = TraceState::parse_headers([current.as_bytes()]) else { return TraceState::default() };
    match unrepresented(context).and_then(|unrepresented| unrepresented.state.as_ref()) {
        Some(received) => merge(received, &current),
        None => current,
    }
}

/// Returns the members of `state` that opentelemetry's type accepts, and whether these are all: it rejects a system id
/// of 14 characters.
fn accepted_part(state: &TraceState) -> (OtelTraceState, bool) {
    if state.is_empty() {
        return (OtelTraceState::NONE, true);
    }
    match OtelTraceState::from_key_value(state.iter()) {
        Ok(accepted) => (accepted, true),
        Err(_) => {
            let members = state.iter().filter(|member| is_accepted(*member));
            let accepted = OtelTraceState::from_key_value(members).expect("each member is accepted separately");
            (accepted, false)
        }
    }
}

fn is_accepted(member: (&str, &str)) -> bool {
    OtelTraceState::from_key_value([member]).is_ok()
}

/// Applies to the received list the changes made in `current`, its part that opentelemetry could hold: removed members
/// are removed, new and changed ones come first.
fn merge(received: &TraceState, current: &TraceState) -> TraceState {
    let kept = received.iter().filter(|member| !is_accepted(*member) || current.get(member.0).is_some());
    let kept: Vec<_> = kept.map(|(key, value)| format!("{key}={value}")).collect();
    let mut merged =
        TraceState::parse_headers(kept.iter().map(String::as_bytes)).expect("part of a valid list is valid");
    let changed: Vec<_> = current.iter().filter(|(key, value)| received.get(key) != Some(value)).collect();
    for (key, value) in changed.into_iter().rev() {
        merged.insert_first(key, value).expect("key and value come from a valid list");
    }
    merged
}
