//! W3C Trace Context level 2.

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

/// Reads the caller's span; `None` without a valid `traceparent`.
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

/// What opentelemetry's own types cannot say of a remote parent.
#[derive(Debug)]
struct Unheld {
    trace_id: opentelemetry::TraceId,
    /// As it came. A span that is not sampled loses it in the SDK.
    random: bool,
    /// As it came, where [`OtelTraceState`] refuses some of it.
    state: Option<TraceState>,
}

/// `context` with `parent` as its remote span, and a note of what opentelemetry's types cannot hold of it.
pub(crate) fn with_remote_parent(context: &Context, parent: TraceParent, state: TraceState) -> Context {
    let (held, complete) = held(&state);
    let context = context.with_remote_span_context(span_context(parent, held));
    let random = parent.flags.is_random();
    let trace_id = opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes());
    // What was noted before, of another header about the same trace, holds no longer.
    let has_note = context.get::<Unheld>().is_some_and(|noted| noted.trace_id == trace_id);
    if random && complete && !has_note {
        // Nothing is missing: a trace without a note counts as random.
        return context;
    }
    context.with_value(Unheld { trace_id, random, state: (!complete).then_some(state) })
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

/// The current span of `context` as a `traceparent`, with the random flag of its trace even where the SDK has dropped it; `None`
/// outside any span.
#[must_use]
pub fn trace_parent(context: &Context) -> Option<TraceParent> {
    let span = context.span();
    let span = span.span_context();
    let trace_id = TraceId::from_bytes(span.trace_id().to_bytes())?;
    let parent_id = SpanId::from_bytes(span.span_id().to_bytes())?;
    let flags = TraceFlags::new(span.trace_flags().to_u8());
    let random = match unheld(context) {
        Some(unheld) => unheld.random,
        // Nothing was noted: the flag came along, or the trace began here.
        None => flags.is_random() || !span.is_remote(),
    };
    let sampled = TraceFlags::NONE.with_sampled(flags.is_sampled());
    Some(TraceParent::new(trace_id, parent_id, if random { sampled | TraceFlags::RANDOM } else { sampled }))
}

/// What was noted of the trace of the current span.
fn unheld(context: &Context) -> Option<&Unheld> {
    context.get::<Unheld>().filter(|unheld| unheld.trace_id == context.span().span_context().trace_id())
}

/// The list to send on. Whatever a sampler or the application put into it stands first, as it does in opentelemetry's.
fn trace_state(context: &Context) -> TraceState {
    let current = context.span().span_context().trace_state().header();
    // An application can put into it what is no valid member. Others would drop the whole list for it, as is done here.
    let Ok(current) = TraceState::parse_headers([current.as_bytes()]) else { return TraceState::default() };
    match unheld(context).and_then(|unheld| unheld.state.as_ref()) {
        Some(received) => merge(received, &current),
        None => current,
    }
}

/// As much of `state` as opentelemetry's type takes, and whether that is all: it refuses a system id of 14 characters.
fn held(state: &TraceState) -> (OtelTraceState, bool) {
    if state.is_empty() {
        return (OtelTraceState::NONE, true);
    }
    match OtelTraceState::from_key_value(state.iter()) {
        Ok(held) => (held, true),
        Err(_) => {
            let members = state.iter().filter(|member| is_held(*member));
            let held = OtelTraceState::from_key_value(members).expect("each member is held by itself");
            (held, false)
        }
    }
}

fn is_held(member: (&str, &str)) -> bool {
    OtelTraceState::from_key_value([member]).is_ok()
}

/// What was received, with the changes that `current`, the part of it that opentelemetry could hold, has gone through: removed
/// members go, new and changed ones stand first.
fn merge(received: &TraceState, current: &TraceState) -> TraceState {
    let kept = received.iter().filter(|member| !is_held(*member) || current.get(member.0).is_some());
    let kept: Vec<_> = kept.map(|(key, value)| format!("{key}={value}")).collect();
    let mut merged = TraceState::parse_headers(kept.iter().map(String::as_bytes)).expect("part of a valid list is one");
    let changed: Vec<_> = current.iter().filter(|(key, value)| received.get(key) != Some(value)).collect();
    for (key, value) in changed.into_iter().rev() {
        merged.insert_first(key, value).expect("key and value are of a valid list");
    }
    merged
}
